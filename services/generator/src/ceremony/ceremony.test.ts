import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { modulePath } from "../hsm/test-support/test-token.ts";
import { kwpUnwrap } from "../mechanisms/symmetric.ts";
import { combineShares } from "./shares.ts";
import { readTranscript, rightToken } from "./transcript.ts";

describe.skipIf(modulePath === undefined)("the generator's program in ceremony mode", () => {
  const directory = mkdtempSync(join(tmpdir(), "claviger-ceremony-"));

  beforeAll(() => {
    for (const name of ["token", "handoff"]) mkdirSync(join(directory, name));
    const token = join(directory, "token");
    writeFileSync(join(directory, "softhsm2.conf"), `directories.tokendir = ${token}\n`);
  });
  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  function run(more: Record<string, string> = {}) {
    return spawnSync(process.execPath, [join(import.meta.dirname, "main.ts")], {
      encoding: "utf8",
      env: {
        CLAVIGER_DIRECTORY: directory,
        CLAVIGER_RECOVERY_DIRECTORY: join(directory, "handoff"),
        CLAVIGER_PKCS11_MODULE: modulePath!,
        SOFTHSM2_CONF: join(directory, "softhsm2.conf"),
        ...more,
      },
    });
  }

  test("production refuses SoftHSM before anything is written to it", () => {
    const { status, stderr } = run({ CLAVIGER_PROFILE: "production" });
    expect(status).toBe(1);
    expect(stderr).toContain("SoftHSM keeps its keys in files");
    expect(stderr).toContain("nobody chose the custody");
    expect(readdirSync(join(directory, "token"))).toEqual([]);
    expect(readTranscript(directory)).toBeUndefined();
    expect(run({ CLAVIGER_PROFILE: "prod" }).stderr).toContain("one of development, production");
  });

  test("it is held once; only a token that is there and holds the binding key may be accepted", () => {
    const custody = { CLAVIGER_RECOVERY_THRESHOLD: "2", CLAVIGER_RECOVERY_SHARES: "4" };
    const impossible = run({ ...custody, CLAVIGER_RECOVERY_THRESHOLD: "5" });
    expect(impossible.status).toBe(1);
    expect(impossible.stderr).toContain("2 ≤ threshold ≤ shares");
    expect(readdirSync(join(directory, "token"))).toEqual([]);
    expect(run(custody)).toMatchObject({ status: 0, stderr: "" });
    const held = readTranscript(directory)!;
    expect(held.custody).toEqual({ threshold: 2, shares: 4 });
    expect(readdirSync(join(directory, "handoff")).filter((name) => name.startsWith("share"))).toHaveLength(
      4,
    );
    const bytes = readFileSync(join(directory, "ceremony.json"));
    expect(run().stdout).toContain("has been held already");
    expect(readFileSync(join(directory, "ceremony.json"))).toEqual(bytes);
    expect(rightToken(held)).toBe(held.token.serial);
    const stranger = run({ CLAVIGER_ACCEPT_TOKEN: "77AA" });
    expect(stranger.status).toBe(1);
    expect(stranger.stderr).toContain("77AA is the right one");
    expect(readFileSync(join(directory, "ceremony.json"))).toEqual(bytes);
    // What another token's ceremony left behind cannot be made to accept this one.
    writeFileSync(join(directory, "ceremony.json"), bytes.toString().replace(held.token.serial, "77AA"));
    const changed = run({ CLAVIGER_ACCEPT_TOKEN: held.token.serial });
    expect(changed.status).toBe(1);
    expect(changed.stderr).toContain("was changed, or is another token's");
    writeFileSync(join(directory, "ceremony.json"), bytes);
    expect(run({ CLAVIGER_ACCEPT_TOKEN: held.token.serial })).toMatchObject({ status: 0 });
    expect(rightToken(readTranscript(directory)!)).toBe(held.token.serial);
  });

  test("a token into which custodians brought the binding key takes the place of the first, on request alone", async () => {
    const held = readTranscript(directory)!;
    const share = (number: number): string =>
      readFileSync(join(directory, "handoff", `share-${number}.txt`), "utf8");
    using recoveryKey = await combineShares([share(1), share(3)]);
    const wrapped = Buffer.from(held.recoveryWraps["binding-mac"]!, "base64");
    using bindingKey = kwpUnwrap(recoveryKey.expose(), wrapped);
    rmSync(join(directory, "token"), { recursive: true });
    mkdirSync(join(directory, "token"));
    const serial = makeToken(readFileSync(join(directory, "hsm.pin"), "utf8"), bindingKey.expose());
    expect(serial).not.toBe(held.token.serial);
    expect(run({ CLAVIGER_ACCEPT_TOKEN: serial })).toMatchObject({ status: 0, stderr: "" });
    const now = readTranscript(directory)!;
    expect(rightToken(now)).toBe(serial);
    expect(now.acceptedTokens).toMatchObject([{ serial, insteadOf: held.token.serial }]);
    expect(now).toMatchObject({ heldAt: held.heldAt, token: held.token, recoveryWraps: held.recoveryWraps });
  });

  /** With the vendor's own tools, as it were: in another process, since a module is initialised once. */
  function makeToken(pin: string, bindingKey: Uint8Array): string {
    const source = `
      import { loadModule, findToken, openSession, logIn } from ${JSON.stringify(join(import.meta.dirname, "../hsm/sessions.ts"))};
      import { readFileSync } from "node:fs";
      const { pin, key, modulePath } = JSON.parse(readFileSync(0, "utf8"));
      const module = loadModule(modulePath);
      const [slot] = module.C_GetSlotList(true);
      module.C_InitToken(slot, pin, "claviger");
      const made = findToken(module, "claviger");
      const session = openSession(module, made);
      module.C_Login(session, 0, pin);
      module.C_InitPIN(session, pin);
      module.C_Logout(session);
      logIn(module, session, pin);
      const [CKA_CLASS, CKA_TOKEN, CKA_PRIVATE, CKA_LABEL, CKA_VALUE, CKA_KEY_TYPE, CKA_SIGN] = [0, 1, 2, 3, 0x11, 0x100, 0x108];
      const attributes = [[CKA_CLASS, 4], [CKA_KEY_TYPE, 0x10], [CKA_TOKEN, true], [CKA_PRIVATE, true], [CKA_SIGN, true],
        [CKA_LABEL, "claviger-binding-mac"], [CKA_VALUE, Buffer.from(key, "hex")]];
      module.C_CreateObject(session, attributes.map(([type, value]) => ({ type, value })));
      process.stdout.write(module.C_GetTokenInfo(made).serialNumber.trim());
    `;
    const { status, stderr, stdout } = spawnSync(process.execPath, ["--input-type=module", "-e", source], {
      encoding: "utf8",
      input: JSON.stringify({ pin, key: Buffer.from(bindingKey).toString("hex"), modulePath }),
      env: { SOFTHSM2_CONF: join(directory, "softhsm2.conf") },
    });
    expect(status, stderr).toBe(0);
    return stdout;
  }
});
