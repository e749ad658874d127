import { DomainError } from "@claviger/domain-error";
import type pkcs11 from "pkcs11js";
import type { KeyringKeyId } from "./port.ts";
import type { Session } from "./sessions.ts";
import * as templates from "./templates.ts";

/** Handles of the token's own objects: they stay valid, and finding one costs milliseconds among many. */
export class TokenObjects {
  readonly #module: pkcs11.PKCS11;
  readonly #handles = new Map<string, Buffer>();

  constructor(module: pkcs11.PKCS11) {
    this.#module = module;
  }

  /** @throws DomainError `unavailable` where the token does not have exactly one such object */
  keyringKey(session: Session, id: KeyringKeyId): Buffer {
    return this.#find(session, id, templates.byKeyringKeyId(id));
  }

  /** Looks at the token anew: undefined where it has no such object any more. */
  findKeyringKey(session: Session, id: KeyringKeyId): Buffer | undefined {
    this.#handles.delete(id);
    return search(this.#module, session, templates.byKeyringKeyId(id))[0];
  }

  labelled(session: Session, label: string): Buffer {
    return this.#find(session, label, templates.byLabel(label));
  }

  remember(id: KeyringKeyId, handle: Buffer): void {
    this.#handles.set(id, handle);
  }

  forget(id: KeyringKeyId): void {
    this.#handles.delete(id);
  }

  #find(session: Session, name: string, template: pkcs11.Template): Buffer {
    const known = this.#handles.get(name);
    if (known !== undefined) return known;
    const found = only(name, search(this.#module, session, template));
    this.#handles.set(name, found);
    return found;
  }
}

/** @throws DomainError `unavailable` where the token does not have exactly one such object */
export function labelledObject(module: pkcs11.PKCS11, session: Session, label: string): Buffer {
  return only(label, search(module, session, templates.byLabel(label)));
}

function search(module: pkcs11.PKCS11, session: Session, template: pkcs11.Template): Buffer[] {
  module.C_FindObjectsInit(session, template);
  const found = module.C_FindObjects(session, 2);
  module.C_FindObjectsFinal(session);
  return found;
}

function only(name: string, found: readonly Buffer[]): Buffer {
  if (found.length === 1) return found[0]!;
  throw new DomainError("unavailable", `the HSM has ${found.length} objects for ${name}, and one is wanted`, {
    hint: "if the token was replaced, restore from a backup",
  });
}
