import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import pkcs11 from "pkcs11js";

const { CKF_OS_LOCKING_OK, CKF_RW_SESSION, CKF_SERIAL_SESSION, CKU_SO, CKU_USER } = pkcs11;
/** Object identifier of P-256 in DER. */
const p256 = Buffer.from("06082a8648ce3d030107", "hex");
const wrapping = { mechanism: pkcs11.CKM_AES_KEY_WRAP_PAD };

/** pkcs11js and a token of its own, with nothing around it: asynchronous calls over a pool of sessions. */
export class BareHsm {
  static readonly sessions = 8;
  readonly #module: pkcs11.PKCS11;
  readonly #directory: string;
  readonly #free: Buffer[];
  readonly #waiting: ((session: Buffer) => void)[] = [];
  readonly #wrappingKey: Buffer;
  #closed = false;

  private constructor(module: pkcs11.PKCS11, directory: string, sessions: Buffer[]) {
    this.#module = module;
    this.#directory = directory;
    this.#free = sessions;
    this.#wrappingKey = module.C_GenerateKey(sessions[0]!, { mechanism: pkcs11.CKM_AES_KEY_GEN }, [
      { type: pkcs11.CKA_VALUE_LEN, value: 32 },
      { type: pkcs11.CKA_WRAP, value: true },
    ]);
  }

  static async open(options: { pkcs11Module: string; directory: string }): Promise<BareHsm> {
    const directory = mkdtempSync(join(options.directory, "token-"));
    writeFileSync(join(directory, "softhsm2.conf"), `directories.tokendir = ${directory}\n`);
    process.env.SOFTHSM2_CONF = join(directory, "softhsm2.conf");
    const module = new pkcs11.PKCS11();
    module.load(options.pkcs11Module);
    module.C_Initialize({ flags: CKF_OS_LOCKING_OK });
    const pin = randomBytes(8).toString("hex");
    module.C_InitToken(module.C_GetSlotList(true)[0]!, pin, "bench");
    const slot = module.C_GetSlotList(true)[0]!;
    const sessions = Array.from({ length: BareHsm.sessions }, () =>
      module.C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION),
    );
    module.C_Login(sessions[0]!, CKU_SO, pin);
    module.C_InitPIN(sessions[0]!, pin);
    module.C_Logout(sessions[0]!);
    module.C_Login(sessions[0]!, CKU_USER, pin);
    return new BareHsm(module, directory, sessions);
  }

  /** Signs digests with one P-256 key. */
  async signingKey(): Promise<(digest: Buffer) => Promise<Buffer>> {
    const { privateKey } = this.#module.C_GenerateKeyPair(this.#free[0]!, ...pairTemplates);
    return (digest) =>
      this.#use(async (session) => {
        this.#module.C_SignInit(session, { mechanism: pkcs11.CKM_ECDSA }, privateKey);
        return this.#module.C_SignAsync(session, digest, Buffer.alloc(128));
      });
  }

  makeAndWrapSecret(): Promise<Buffer> {
    return this.#use(async (session) => {
      const key = await this.#module.C_GenerateKeyAsync(session, { mechanism: pkcs11.CKM_AES_KEY_GEN }, [
        { type: pkcs11.CKA_VALUE_LEN, value: 32 },
        { type: pkcs11.CKA_EXTRACTABLE, value: true },
      ]);
      return this.#wrap(session, key);
    });
  }

  makeAndWrapPair(): Promise<Buffer> {
    return this.#use(async (session) => {
      const pair = await this.#module.C_GenerateKeyPairAsync(session, ...pairTemplates);
      this.#module.C_DestroyObject(session, pair.publicKey);
      return this.#wrap(session, pair.privateKey);
    });
  }

  async #wrap(session: Buffer, key: Buffer): Promise<Buffer> {
    const room = Buffer.alloc(1024);
    const wrapped = await this.#module.C_WrapKeyAsync(session, wrapping, this.#wrappingKey, key, room);
    this.#module.C_DestroyObject(session, key);
    return wrapped;
  }

  async #use<T>(work: (session: Buffer) => Promise<T>): Promise<T> {
    const session =
      this.#free.pop() ?? (await new Promise<Buffer>((resolve) => void this.#waiting.push(resolve)));
    try {
      return await work(session);
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#free.push(session);
      else next(session);
    }
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#module.C_Finalize();
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

const pairTemplates: [pkcs11.Mechanism, pkcs11.Template, pkcs11.Template] = [
  { mechanism: pkcs11.CKM_EC_KEY_PAIR_GEN },
  [{ type: pkcs11.CKA_EC_PARAMS, value: p256 }],
  [
    { type: pkcs11.CKA_SIGN, value: true },
    { type: pkcs11.CKA_EXTRACTABLE, value: true },
  ],
];
