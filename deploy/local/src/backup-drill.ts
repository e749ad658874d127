// claviger backup drill: restores a backup beside the running installation, proves that its keys work, and keeps that.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createReadStream, existsSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { text } from "node:stream/consumers";
import { parseArgs } from "node:util";
import { type BackupHeader, ByteReader, readHeader } from "@claviger/backup";
import { type Claviger, createClaviger } from "@claviger/client";
import { DomainError, exitCodeOf, exitCodeOfKind } from "@claviger/domain-error";
import { drillText } from "./backup/drill-text.ts";
import { layoutOf, stateDirectoryOf } from "./layout.ts";
import { reachableCommand } from "./reachable.ts";
import { runningInstallation } from "./supervisor-file.ts";
import { printError } from "./terminal.ts";

const { values: flags } = parseArgs({
  options: {
    in: { type: "string" },
    share: { type: "string", multiple: true },
    out: { type: "string" },
    every: { type: "boolean" },
    config: { type: "string" },
    json: { type: "boolean" },
  },
});
const clone = new URL("../../..", import.meta.url).pathname.replace(/\/$/, "");
const layout = layoutOf(stateDirectoryOf(clone, process.env));

const saidCharactersMax = 4096;

interface Ended {
  code: number;
  out: string;
  said: string;
}

try {
  process.exitCode = await drill();
} catch (cause) {
  printError(cause, flags);
  process.exitCode = exitCodeOf(cause);
}

async function drill(): Promise<number> {
  const files = { file: resolve(flags.in ?? ""), shares: (flags.share ?? []).map((path) => resolve(path)) };
  for (const path of [files.file, ...files.shares]) {
    if (!existsSync(path)) throw new DomainError("invalid-argument", `there is no file ${path}`);
  }
  if (flags.out !== undefined && existsSync(flags.out)) {
    throw new DomainError("failed-precondition", `${flags.out} is there already`, {
      hint: "name another file for the report",
    });
  }
  if (runningInstallation(layout) === undefined) {
    throw new DomainError("failed-precondition", "no installation runs on this host", {
      hint: "a drill is kept in the audit log and signed: npm start, then the same command again",
    });
  }
  const header = await headerOf(files.file);
  using claviger = createClaviger({ config: flags.config ?? layout.configurationFile });
  // Kept before a share is used: whatever comes of it, that it was begun is known.
  const { drillId } = await claviger.backup.beginDrill({
    backupId: header.id,
    madeAt: header.createdAt,
    recoveryKey: header.recoveryKey,
  });
  const ended = await runDrill(drillId, files);
  if (ended.code !== 0) {
    const failure =
      /^error: (.*)$/m.exec(ended.said)?.[1] ??
      /"message":"((?:[^"\\]|\\.)*)"/.exec(ended.said)?.[1] ??
      `it was cut off (${ended.code})`;
    await claviger.backup.endDrill({ drillId, failure: failure.slice(0, 500) });
    return ended.code;
  }
  const { mac, report } = JSON.parse(ended.out) as { report: string; mac: string };
  const signed = await claviger.backup.endDrill({
    drillId,
    report: Buffer.from(report, "base64"),
    mac: Buffer.from(mac, "base64"),
  });
  await keep(claviger, signed);
  const record = JSON.parse(Buffer.from(signed.record).toString("utf8")) as { report: object };
  const facts = { outcome: signed.outcome, ...(flags.out === undefined ? {} : { out: flags.out }) };
  if (flags.json) console.log(JSON.stringify({ ...facts, ...record.report }));
  else console.log(drillText({ ...facts, record }));
  return signed.outcome === "proved" ? 0 : exitCodeOfKind.integrity;
}

/** What can be read without opening it. @throws DomainError `integrity` */
async function headerOf(file: string): Promise<BackupHeader> {
  const source = createReadStream(file, { highWaterMark: 64 * 1024 });
  try {
    return (await readHeader(new ByteReader(source))).header;
  } finally {
    source.destroy();
  }
}

async function runDrill(drillId: string, files: object): Promise<Ended> {
  const command = reachableCommand({
    clone,
    stateDirectory: layout.stateDirectory,
    entry: "deploy/local/src/drill-program.ts",
    arguments: ["--drill", drillId, ...(flags.every ? ["--every"] : []), ...(flags.json ? ["--json"] : [])],
    environment: { ...process.env, CLAVIGER_RESTORE_FILES: JSON.stringify(files) },
  });
  const child = spawn(command.program, command.arguments, {
    cwd: command.directory,
    env: command.environment,
    stdio: ["ignore", "pipe", "pipe"],
  });
  // Ctrl-C reaches it as well, and it clears away; this waits for that, and says in the log how it ended.
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => child.kill(signal));
  let said = "";
  child.stderr.on("data", (bytes: Buffer) => {
    process.stderr.write(bytes);
    said = `${said}${bytes}`.slice(-saidCharactersMax);
  });
  const exited = once(child, "close") as Promise<[number | null]>;
  const [out, [code]] = await Promise.all([text(child.stdout), exited]);
  return { code: code ?? 1, out, said };
}

/** The file of docs/formats.md, which verifies offline as every attestation does. */
async function keep(
  { certificates }: Claviger,
  signed: { record: Uint8Array; signature: Uint8Array; signerVersion: number },
): Promise<void> {
  if (flags.out === undefined) return;
  const { certificateChain } = await certificates.getAttestationCertificate({
    version: signed.signerVersion,
  });
  const attestation = {
    record: Buffer.from(signed.record).toString("utf8"),
    signature: Buffer.from(signed.signature).toString("base64"),
    signer: `system/attestation@${signed.signerVersion}`,
    certificateChain,
  };
  writeFileSync(flags.out, `${JSON.stringify(attestation, null, 2)}\n`, { mode: 0o644, flag: "wx" });
}
