/** What a drill's record says, for people. */
interface Drilled {
  outcome: string;
  out?: string;
  record: { report: object };
}

interface Report {
  backup: string;
  madeAt: string;
  rows: number;
  bound: number;
  proofs: { algorithm: string; protection: string; versions: number; used: number; by: string }[];
  seals: { service: string; rows: number; findings: number }[];
  failures: { of: string; what: string }[];
  failed: number;
}

const byWords: Readonly<Record<string, string>> = {
  "public-key": "what one half protected, the stored other half processed",
  digest: "it is the secret that was registered, and undid what it did",
  binding: "it opened as the HSM had bound it, and undid what it did",
  "none-secret": "a public half alone, as the HSM had bound it",
};

export function drillText({ out, outcome, record }: Drilled): string {
  const report = record.report as Report;
  const count = (number: number): string => number.toLocaleString("en");
  const widths = { name: 28, used: 14 };
  return [
    outcome === "proved"
      ? `backup ${report.backup}, made at ${report.madeAt}, can be restored, and its keys work`
      : `backup ${report.backup}, made at ${report.madeAt}, does not restore whole`,
    "",
    ...report.proofs.map(({ algorithm, by, protection, used, versions }) =>
      [
        `  ${`${algorithm}, ${protection}`.padEnd(widths.name)}`,
        `${count(used)} of ${count(versions)} used`.padEnd(widths.used),
        byWords[by] ?? by,
      ].join("  "),
    ),
    "",
    `${count(report.bound)} versions of keys are what the HSM had bound; ${count(report.rows)} rows were filled again`,
    ...report.seals.map(
      ({ findings, rows, service }) =>
        `${service}: ${count(rows)} sealed rows, ${findings === 0 ? "all as Claviger wrote them" : `${count(findings)} changed`}`,
    ),
    ...report.failures.map(({ of, what }) => `FAILED  ${of}: ${what}`),
    out === undefined
      ? "the signed report is kept: claviger backup drill --list; --out F writes it into a file"
      : `the signed report, with its certificates, is in ${out}`,
  ].join("\n");
}
