const macDomain = Buffer.from("claviger/backup/v1\0", "utf8");

/** What the key that binds material makes of a backup's record: nobody without the HSM, or a quorum, can. */
export function backupMac<Mac>(record: Uint8Array, mac: (data: Uint8Array) => Mac): Mac {
  return mac(Buffer.concat([macDomain, record]));
}
