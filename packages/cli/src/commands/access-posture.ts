import type { Floor, IdentityPosture } from "@claviger/proto/storage/v1/posture_pb.ts";
import type { Command } from "commander";
import { parseComingMoment } from "../arguments.ts";
import { defineCommand, present } from "../define-command.ts";
import { usageError } from "../errors.ts";
import { shortIdentity, table } from "../output.ts";
import { isoDate, shortTime } from "../plain.ts";
import { everyPage, type Session } from "../session.ts";

interface PostureOptions {
  floor?: string;
  from?: string;
  removeFloor?: string;
  all?: boolean;
}

export function register(access: Command): void {
  defineCommand<PostureOptions>(access, {
    usage: "posture",
    description:
      "how strongly identities authenticate, who is below the floor, and since when; and the floor itself",
    examples: [
      "access posture",
      "access posture --all",
      "access posture --floor 'rsa>=3072, key-exchange=post-quantum' --from 2027-01-01",
    ],
    options: [
      ["--all", "those as well that meet every floor"],
      [
        "--floor <requirements>",
        "raise it: rsa>=, ec>=, signature>=, lifetime<=90d, tls>=1.3, key-exchange=",
      ],
      [
        "--from <moment>",
        "from when it is enforced: 2027-01-01, or in how long: 90d; at once where left out",
      ],
      ["--remove-floor <id>", "take a floor away"],
    ],
    async run(session, _, options) {
      if (options.floor !== undefined && options.removeFloor !== undefined) {
        throw usageError("a floor is raised or taken away", "do one after the other");
      }
      if (options.floor === undefined && options.from !== undefined) {
        throw usageError("--from goes with --floor", "say from when which floor is enforced");
      }
      if (options.floor !== undefined) return raise(session, options.floor, options.from);
      if (options.removeFloor !== undefined) return remove(session, options.removeFloor);
      return show(session, options.all === true);
    },
  });
}

async function raise(session: Session, requirements: string, from: string | undefined): Promise<void> {
  const { timestampFromDate } = await import("@bufbuild/protobuf/wkt");
  const claviger = await session.connect();
  const answer = await claviger.posture.raiseFloor({
    requirements,
    ...(from === undefined ? {} : { effectiveAt: timestampFromDate(parseComingMoment(from, "--from")) }),
  });
  const floor = present(answer.floor, "the floor");
  const below = await belowFloor(session);
  session.answer({ floor, below: below.length }, () => {
    const found =
      below.length === 0
        ? "nobody seen so far is below it"
        : `${below.length} seen so far are below it: claviger access posture`;
    return `floor ${floor.id}: ${floor.requirements}, from ${shortTime(floor.effectiveAt)}\n${found}`;
  });
}

async function remove(session: Session, id: string): Promise<void> {
  await (await session.connect()).posture.removeFloor({ id });
  session.answer({ id }, () => `floor ${id} is no more`);
}

async function belowFloor(session: Session): Promise<IdentityPosture[]> {
  const claviger = await session.connect();
  return everyPage(
    (page) => claviger.posture.listPosture({ below: true, ...page }),
    (response) => response.identities,
  );
}

async function show(session: Session, all: boolean): Promise<void> {
  const claviger = await session.connect();
  const floors: Floor[] = [];
  const identities = await everyPage(
    (page) => claviger.posture.listPosture({ below: !all, ...page }),
    (response) => {
      floors.push(...response.floors);
      return response.identities;
    },
  );
  session.answer({ floors, identities }, () => {
    const floorRows = floors.map((floor) => [floor.id, floor.requirements, shortTime(floor.effectiveAt)]);
    const rows = identities.map((one) => [
      shortIdentity(one.identity),
      keyText(one),
      one.strength?.keyExchange,
      `${Math.ceil((one.strength?.lifetimeHours ?? 0) / 24)} d`,
      isoDate(one.firstSeenAt),
      isoDate(one.lastSeenAt),
      one.below.join("; "),
      isoDate(one.refusedFrom),
    ]);
    const headers = ["IDENTITY", "KEY", "EXCHANGE", "FOR", "SINCE", "LAST SEEN", "BELOW", "REFUSED FROM"];
    return [
      table(
        ["FLOOR", "REQUIREMENTS", "FROM"],
        floorRows,
        "no floor: claviger access posture --floor … raises one",
      ),
      table(headers, rows, all ? "nobody was seen within the last 30 days" : "nobody is below the floor"),
    ].join("\n\n");
  });
}

function keyText({ strength }: IdentityPosture): string {
  if (strength === undefined) return "";
  return `${strength.keyType}${strength.keyBits === 0 ? "" : `-${strength.keyBits}`}, ${strength.signatureAlgorithm}`;
}
