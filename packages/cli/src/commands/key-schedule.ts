import type { Command } from "commander";
import { formatKeyReference, parseComing, parseKeyReference } from "../arguments.ts";
import { argument, defineCommand, present } from "../define-command.ts";
import { usageError } from "../errors.ts";
import { shortTime } from "../plain.ts";

export interface DateOptions {
  activateAt?: string;
  expireAt?: string;
}

export const dateOptions = [
  ["--activate-at <moment>", "becomes active by itself then: 2027-01-31T12:00:00Z, or 30d from now"],
  ["--expire-at <moment>", "is deactivated by itself then: what it protected can still be read"],
] as const;

/** As the requests take them. */
export async function datesOf({ activateAt, expireAt }: DateOptions) {
  const { timestampFromDate } = await import("@bufbuild/protobuf/wkt");
  return {
    ...(activateAt === undefined
      ? {}
      : { activateAt: timestampFromDate(parseComing(activateAt, "--activate-at")) }),
    ...(expireAt === undefined ? {} : { expireAt: timestampFromDate(parseComing(expireAt, "--expire-at")) }),
  };
}

export function registerSchedule(keys: Command): void {
  defineCommand<DateOptions>(keys, {
    usage: "schedule <keyring/key[@version]>",
    description: "set the days on which a key, or one version, becomes active and ends by itself",
    examples: [
      "keys schedule payments/cards --expire-at 2027-12-31T23:59:59Z",
      "keys schedule payments/cards@2 --expire-at 90d",
      "keys schedule payments/cards --expire-at never",
    ],
    options: [
      dateOptions[0],
      ["--expire-at <moment>", "is deactivated by itself then; `never` takes the day away"],
    ],
    async run(session, positional, options) {
      const reference = parseKeyReference(argument(positional), "optional");
      const neverExpires = options.expireAt === "never";
      if (options.activateAt === undefined && options.expireAt === undefined) {
        throw usageError("nothing is to be changed", "give --activate-at or --expire-at");
      }
      const { activateAt } = options;
      const dates = await datesOf(neverExpires ? (activateAt === undefined ? {} : { activateAt }) : options);
      const claviger = await session.connect();
      const { key } = await claviger.keys.scheduleKey({ ...reference, ...dates, neverExpires });
      session.answer(present(key, "the key"), () => {
        const said = [
          ...(dates.activateAt === undefined ? [] : [`becomes active on ${shortTime(dates.activateAt)}`]),
          ...(dates.expireAt === undefined ? [] : [`is deactivated on ${shortTime(dates.expireAt)}`]),
          ...(neverExpires ? ["has no day of expiry"] : []),
        ];
        return `${formatKeyReference(reference)} ${said.join(" and ")}`;
      });
    },
  });
}
