/**
 * Opens what `claviger keys export` sealed, with the recipient's private key and no code of Claviger's:
 *
 *   openssl genpkey -algorithm X25519 -out private.pem
 *   openssl pkey -in private.pem -pubout -out public.pem
 *   npx claviger keys export payments/shared --recipient public.pem --out shared.json
 *   bin/node examples/open-export.ts shared.json private.pem > shared.key
 */
import { createPrivateKey } from "node:crypto";
import { readFileSync } from "node:fs";
import { Aes256Gcm, CipherSuite, DhkemX25519HkdfSha256, HkdfSha256 } from "@hpke/core";

const [exportFile = "", privateKeyFile = ""] = process.argv.slice(2);
const { ciphertext, encapsulatedKey, name, version } = JSON.parse(readFileSync(exportFile, "utf8"));

const kem = new DhkemX25519HkdfSha256();
const suite = new CipherSuite({ kem, kdf: new HkdfSha256(), aead: new Aes256Gcm() });
const jwk = createPrivateKey(readFileSync(privateKeyFile)).export({ format: "jwk" });
const recipientKey = await kem.importKey("jwk", { ...jwk, key_ops: ["deriveBits"] }, false);
const method = "claviger.generator.v1.KeyGenerationService/ExportKey";
const info = new TextEncoder().encode(`claviger/sealed-secret/v1\n${method}\n${name}\n${version}`);
const bytes = (base64: string): ArrayBuffer => new Uint8Array(Buffer.from(base64, "base64")).buffer;
const opened = await suite.open({ recipientKey, enc: bytes(encapsulatedKey), info }, bytes(ciphertext));
process.stdout.write(new Uint8Array(opened));
