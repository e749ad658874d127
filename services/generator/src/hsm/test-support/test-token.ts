import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll } from "vitest";
import { openPkcs11Hsm } from "../pkcs11-hsm.ts";
import type { Hsm } from "../port.ts";
import { beginToken } from "../token-ceremony.ts";

/** SoftHSM, or the module that the environment names; undefined where there is none. */
export const modulePath = [
  process.env.CLAVIGER_PKCS11_MODULE ?? "",
  "/usr/lib/softhsm/libsofthsm2.so",
  "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
  "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
].find((path) => path !== "" && existsSync(path));

/** A token of its own in a directory of its own: one for a process, since that initialises a module once. */
function openTestToken(): { hsm: Hsm } & AsyncDisposable {
  const directory = mkdtempSync(join(tmpdir(), "claviger-hsm-"));
  mkdirSync(join(directory, "token"));
  writeFileSync(join(directory, "softhsm2.conf"), `directories.tokendir = ${join(directory, "token")}\n`);
  process.env.SOFTHSM2_CONF = join(directory, "softhsm2.conf");
  const options = { modulePath: modulePath!, tokenLabel: "claviger-test", pin: "123456789012" };
  const begun = beginToken({ ...options, securityOfficerPin: "987654321098" });
  begun.recoveryKey[Symbol.dispose]();
  begun.close();
  const hsm = openPkcs11Hsm(options);
  return {
    hsm,
    async [Symbol.asyncDispose]() {
      await hsm[Symbol.asyncDispose]();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** The token of a test file, from its first test to its last. */
export function useTestToken(): { readonly hsm: Hsm } {
  let token: ReturnType<typeof openTestToken> | undefined;
  beforeAll(() => {
    token = openTestToken();
  });
  afterAll(() => token?.[Symbol.asyncDispose]());
  return {
    get hsm() {
      return token!.hsm;
    },
  };
}
