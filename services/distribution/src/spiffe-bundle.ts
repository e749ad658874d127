import { X509Certificate } from "node:crypto";
import { splitChain } from "@claviger/x509";

/** How soon whoever follows the bundle should look again, in seconds. */
const refreshHintSeconds = 300;

/**
 * The trust bundle as SPIFFE has it (SPIFFE Trust Domain and Bundle, section 4): a JWK set whose keys carry
 * one root each.
 */
export function spiffeBundle(trustBundle: string, sequence: number): string {
  const keys = splitChain(trustBundle).map((der) => ({
    ...new X509Certificate(der).publicKey.export({ format: "jwk" }),
    use: "x509-svid",
    x5c: [Buffer.from(der).toString("base64")],
  }));
  return `${JSON.stringify({ keys, spiffe_sequence: sequence, spiffe_refresh_hint: refreshHintSeconds })}\n`;
}
