import { type Timestamp, timestampDate } from "@bufbuild/protobuf/wkt";
import { DomainError } from "@claviger/domain-error";

const first = Date.parse("1970-01-01T00:00:00Z");
const last = Date.parse("9999-12-31T23:59:59Z");

/** A moment that a caller names; `otherwise` where it names none. @throws DomainError `invalid-argument` */
export function momentOf(timestamp: Timestamp | undefined, otherwise: Date): Date {
  if (timestamp === undefined) return otherwise;
  const moment = timestampDate(timestamp);
  // A date that JavaScript cannot hold is neither before nor after another.
  if (moment.getTime() >= first && moment.getTime() <= last) return moment;
  throw new DomainError("invalid-argument", "a moment is between the years 1970 and 9999");
}
