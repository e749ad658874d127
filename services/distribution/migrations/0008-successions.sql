-- Which certificate a renewal was asked for with: what tells that a certificate is used no more.
CREATE TABLE certificate_successions (
  serial text PRIMARY KEY,
  successor text NOT NULL,
  renewed_at timestamptz NOT NULL
);

GRANT SELECT, INSERT, UPDATE ON certificate_successions TO distribution;
