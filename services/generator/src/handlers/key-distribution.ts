import type { DecideAccess } from "@claviger/access";
import { DomainError } from "@claviger/domain-error";
import { recipientKeyBytes } from "@claviger/key-ticket";
import type { KeyDistributionService } from "@claviger/proto/generator/v1/key_distribution_pb.ts";
import type { Handlers } from "@claviger/rpc";
import { bytesField, type RequestVerifier, readStatement } from "@claviger/signed-request";
import { BoundRecords } from "../distribution/bound-records.ts";
import { issueDelivery } from "../distribution/deliveries.ts";
import { GroupKeys } from "../distribution/group-keys.ts";
import { RequestDesk } from "../distribution/requests.ts";
import { SharedKeys } from "../distribution/shared-keys.ts";
import { TicketSigner } from "../distribution/ticket-signer.ts";
import type { TestedRandom } from "../health/tested-random.ts";
import type { KeyStore } from "../key-store.ts";
import type { BindingMac } from "../material-envelope.ts";

export interface KeyDistributionOptions {
  keyStore: KeyStore;
  random: TestedRandom;
  bindingMac: BindingMac;
  verifier: RequestVerifier;
  decide: DecideAccess;
  now: () => Date;
}

/** A recipient's key is registered anew before that; most do it when they renew their certificate. */
const recipientLifetimeMilliseconds = 90 * 86_400_000;

export function keyDistributionHandlers({
  bindingMac,
  decide,
  keyStore,
  now,
  random: tested,
  verifier,
}: KeyDistributionOptions): Handlers<typeof KeyDistributionService, undefined> {
  const records = new BoundRecords(bindingMac);
  const desk = new RequestDesk({ verifier, records, decide, now });
  const signer = new TicketSigner(keyStore);
  const random = (lengthBytes: number) => tested.mixed(lengthBytes);
  const shared = new SharedKeys({ desk, signer, random, now });
  const groups = new GroupKeys({ desk, records, signer, keyStore, random, now });
  return {
    async bindRecipient({ signed }, context) {
      const { fields, identity } = await desk.open(signed, "register-recipient");
      context.concerns(identity.uri);
      const publicKey = bytesField(fields, "publicKey", recipientKeyBytes);
      const at = now();
      const recipient = await records.bind({
        v: 1,
        kind: "recipient",
        identity: identity.uri,
        publicKey: publicKey.toString("base64"),
        registeredAt: at.toISOString(),
        notAfter: new Date(at.getTime() + recipientLifetimeMilliseconds).toISOString(),
      });
      return { recipient };
    },
    async issueSessionKey(request, context) {
      const { initiator, peer, ...issued } = await shared.session(request);
      context.concerns(`${initiator} ${peer}`);
      return issued;
    },
    async issuePreSharedKey(request, context) {
      const { generation, name, ...issued } = await shared.preShared(request);
      context.note({ name, generation });
      return issued;
    },
    async advanceGroup(request, context) {
      const next = await advance(groups, request);
      const { generation, group } = JSON.parse(next.record) as { generation: number; group: string };
      context.note({ group, generation });
      return { next };
    },
    async issueGroupKeys(request, context) {
      context.note({ generations: request.generations.length });
      return groups.issue(request);
    },
    async issueDelivery(request, context) {
      const issued = await issueDelivery({ desk, signer, keyStore, random, now }, request);
      context.note({ version: issued.keyVersion, recipients: issued.deliveries.length });
      return issued;
    },
  };
}

function advance(groups: GroupKeys, request: Parameters<GroupKeys["create"]>[0]) {
  const { current, signed } = request;
  if (signed === undefined) throw new DomainError("invalid-argument", "the request is not signed");
  if (current === undefined) return groups.create(request);
  const leaves = signed.statement.includes('"does":"leave-group"');
  const does = leaves ? "leave-group" : "join-group";
  readStatement(signed.statement, does);
  return groups.change(request, does);
}
