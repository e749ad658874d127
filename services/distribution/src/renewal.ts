import { createHash } from "node:crypto";

/** So many identities are told to renew a second, where all of them have to. */
const renewalsPerSecond = 20;
const spreadMillisecondsMin = 2000;
const spreadMillisecondsMax = 3_600_000;
/** Of a certificate's life: around two thirds of it, so that certificates of one moment are not renewed at one. */
const renewalEarliest = 0.62;
const renewalLatest = 0.71;

/** When to renew: the same for each question about one certificate, and another for the next. */
export function renewalTime(serial: string, notBefore: Date, notAfter: Date): Date {
  const part = renewalEarliest + fractionOf(serial) * (renewalLatest - renewalEarliest);
  return new Date(notBefore.getTime() + (notAfter.getTime() - notBefore.getTime()) * part);
}

/** Whether it is this certificate's turn in the time over which the renewals of all are spread. */
export function renewalTurn(
  serial: string,
  { certificates, now, since }: { since: Date | undefined; now: Date; certificates: number },
): boolean {
  if (since === undefined) return true;
  const wanted = (certificates / renewalsPerSecond) * 1000;
  const spread = Math.min(Math.max(wanted, spreadMillisecondsMin), spreadMillisecondsMax);
  return now.getTime() - since.getTime() >= fractionOf(serial) * spread;
}

/** A number from 0 to 1 that a serial always has. */
function fractionOf(serial: string): number {
  return createHash("sha256").update(serial).digest().readUInt32BE(0) / 2 ** 32;
}
