import { createHash, generateKeyPairSync, randomBytes, randomUUID } from "node:crypto";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { CallOptions, Claviger } from "@claviger/client";
import { createRecipient } from "@claviger/sealed-secret";
import { signRequest } from "@claviger/signed-request";
import { beforeAll, describe, expect, test } from "vitest";
import { requestFor } from "../adversary/hostile-csr.ts";
import { type EnrolledClient, unique, until, useInstallation } from "../harness/installation.ts";

const house = useInstallation();
const { claviger } = house;

type Services = Pick<
  Claviger,
  | "keyrings"
  | "keyGeneration"
  | "cryptography"
  | "keys"
  | "access"
  | "approvals"
  | "policy"
  | "emergencies"
  | "posture"
  | "identities"
  | "certificates"
  | "authorities"
  | "profiles"
  | "tokenIssuers"
  | "rotation"
  | "subscriptions"
  | "audit"
  | "backup"
  | "registry"
  | "distributionRows"
  | "rotationRows"
  | "recipients"
  | "sessions"
  | "groups"
  | "preSharedKeys"
  | "deliveries"
>;
type Outcome = "allowed" | "refused" | "failed";

interface Step {
  call: (as: Claviger, options: CallOptions) => unknown;
  /** For the administrator; "allowed" where left out. */
  outcome?: Outcome;
  /** For an outsider without any role; "refused" where left out. */
  outsider?: Outcome;
  /** What the record must be about; "*" where left out. */
  resource?: () => string;
}

const keyring = unique("covered");
const name = `${keyring}/data`;
const signer = `${keyring}/signer`;
const spare = `${keyring}/spare`;
const brought = `${keyring}/brought`;
const [macs, wraps, leaves, agrees, opens] = ["macs", "wraps", "leaves", "agrees", "opens"].map(
  (key) => `${keyring}/${key}`,
) as [string, string, string, string, string];
let recipient: { recipientPublicKey: Uint8Array };
let wrappedKey: Uint8Array = Buffer.alloc(0);
let peerPublicKey: Uint8Array = Buffer.alloc(0);
let encapsulation: Uint8Array = Buffer.alloc(0);
const secret = `never written down ${randomBytes(12).toString("hex")}`;
const plaintext = Buffer.from(secret);
let ciphertext: Uint8Array = Buffer.alloc(0);
let signature: Uint8Array = Buffer.alloc(0);
let hold = "";
let serial = "";
let token = "";
let floor = "";
let outsider: EnrolledClient;
const identity = `spiffe://${house.trustDomain}/workload/${unique("covered")}`;
const guest = unique("guest");
const binding = { role: "user", identity, resource: keyring };
const onKey = { resource: () => name };
const onKeyring = { resource: () => keyring };
const csr = (): Uint8Array => requestFor([{ dns: "covered.example" }]).csr;

/** One row for every RPC that a client can call: a new one without a row does not compile. */
const steps: { [S in keyof Services]: { [M in keyof Services[S]]: Step } } = {
  keyrings: {
    createKeyring: { call: (as, o) => as.keyrings.createKeyring({ name: keyring }, o), ...onKeyring },
    rotateKeyring: { call: (as, o) => as.keyrings.rotateKeyring({ name: keyring }, o), ...onKeyring },
    attestCeremony: { call: (as, o) => as.keyrings.attestCeremony({}, o) },
  },
  keyGeneration: {
    createKey: {
      call: (as, o) => as.keyGeneration.createKey({ name, algorithm: "aes-256-gcm" }, o),
      ...onKey,
    },
    createKeyVersion: { call: (as, o) => as.keyGeneration.createKeyVersion({ name }, o), ...onKey },
    beginImport: {
      call: (as, o) => as.keyGeneration.beginImport({ name: brought }, o),
      resource: () => brought,
    },
    importKey: {
      call: (as, o) => as.keyGeneration.importKey({ name: brought, algorithm: "aes-256-gcm" }, o),
      outcome: "failed",
      resource: () => brought,
    },
    exportKey: {
      call: (as, o) => as.keyGeneration.exportKey({ name: leaves, ...recipient }, o),
      resource: () => leaves,
    },
    attestDestruction: {
      call: (as, o) => as.keyGeneration.attestDestruction({ name: signer }, o),
      outcome: "failed",
      resource: () => signer,
    },
    attestKey: { call: (as, o) => as.keyGeneration.attestKey({ name: signer }, o), resource: () => signer },
    getPublicKey: {
      call: (as, o) => as.keyGeneration.getPublicKey({ name: signer }, o),
      resource: () => signer,
    },
  },
  cryptography: {
    encrypt: { call: (as, o) => as.cryptography.encrypt({ name, plaintext }, o), ...onKey },
    decrypt: { call: (as, o) => as.cryptography.decrypt({ name, ciphertext }, o), ...onKey },
    sign: {
      call: (as, o) => as.cryptography.sign({ name: signer, message: plaintext }, o),
      resource: () => signer,
    },
    verify: {
      call: (as, o) => as.cryptography.verify({ name: signer, message: plaintext, signature }, o),
      resource: () => signer,
    },
    generateRandom: { call: (as, o) => as.cryptography.generateRandom({ sizeBytes: 32 }, o) },
    encryptBatch: {
      call: (as, o) => as.cryptography.encryptBatch({ name, items: [{ plaintext }, { plaintext }] }, o),
      ...onKey,
    },
    decryptBatch: {
      call: (as, o) => as.cryptography.decryptBatch({ name, items: [{ ciphertext }] }, o),
      ...onKey,
    },
    signBatch: {
      call: (as, o) => as.cryptography.signBatch({ name: signer, messages: [plaintext] }, o),
      resource: () => signer,
    },
    verifyBatch: {
      call: (as, o) =>
        as.cryptography.verifyBatch({ name: signer, items: [{ message: plaintext, signature }] }, o),
      resource: () => signer,
    },
    reencrypt: { call: (as, o) => as.cryptography.reencrypt({ name, ciphertext }, o), ...onKey },
    mac: {
      call: (as, o) => as.cryptography.mac({ name: macs, message: plaintext }, o),
      resource: () => macs,
    },
    verifyMac: {
      call: (as, o) => as.cryptography.verifyMac({ name: macs, message: plaintext, tag: signature }, o),
      resource: () => macs,
    },
    generateDataKey: {
      call: (as, o) => as.cryptography.generateDataKey({ name, ...recipient }, o),
      ...onKey,
    },
    wrapKey: {
      call: (as, o) => as.cryptography.wrapKey({ name: wraps, targetName: leaves }, o),
      resource: () => wraps,
    },
    unwrapKey: {
      call: (as, o) => as.cryptography.unwrapKey({ name: wraps, wrappedKey, ...recipient }, o),
      resource: () => wraps,
    },
    agreeSecret: {
      call: (as, o) => as.cryptography.agreeSecret({ name: agrees, peerPublicKey, ...recipient }, o),
      resource: () => agrees,
    },
    encapsulate: {
      call: (as, o) => as.cryptography.encapsulate({ name: opens, ...recipient }, o),
      resource: () => opens,
    },
    decapsulate: {
      call: (as, o) => as.cryptography.decapsulate({ name: opens, encapsulation, ...recipient }, o),
      resource: () => opens,
    },
    useBatch: {
      call: (as, o) =>
        as.cryptography.useBatch(
          { operations: [{ id: 1n, operation: { case: "encrypt", value: { name, plaintext } } }] },
          o,
        ),
      outsider: "allowed",
    },
    use: {
      call: async (as, o) => {
        const operation = { id: 1n, operation: { case: "encrypt", value: { name, plaintext } } } as const;
        for await (const _ of as.pipeline([operation], o)) {
          // Until the stream ends.
        }
      },
      outsider: "allowed",
    },
  },
  keys: {
    listKeyrings: { call: (as, o) => as.keys.listKeyrings({}, o) },
    getKeyring: { call: (as, o) => as.keys.getKeyring({ name: keyring }, o), ...onKeyring },
    listKeys: { call: (as, o) => as.keys.listKeys({ keyring }, o), ...onKeyring },
    getKey: { call: (as, o) => as.keys.getKey({ name }, o), ...onKey },
    listKeyVersions: { call: (as, o) => as.keys.listKeyVersions({ name }, o), ...onKey },
    changeKeyState: {
      call: (as, o) => as.keys.changeKeyState({ name: spare, state: "suspended" }, o),
      resource: () => spare,
    },
    setRotationPeriod: {
      call: (as, o) => as.keys.setRotationPeriod({ name: spare, rotationPeriodSeconds: 86_400n }, o),
      resource: () => spare,
    },
    scheduleKey: {
      call: (as, o) =>
        as.keys.scheduleKey({ name: spare, expireAt: timestampFromMs(Date.now() + 86_400_000) }, o),
      resource: () => spare,
    },
    describeKey: {
      call: (as, o) => as.keys.describeKey({ name: spare, labels: { covered: secret } }, o),
      resource: () => spare,
    },
    setKeyringFloor: {
      call: (as, o) => as.keys.setKeyringFloor({ name: keyring, destroyAfterDaysMin: 7 }, o),
      ...onKeyring,
    },
    listKeyCallers: { call: (as, o) => as.keys.listKeyCallers({ name }, o), ...onKey },
    destroyHeldKey: {
      call: (as, o) => as.keys.destroyHeldKey({ name: spare }, o),
      outcome: "failed",
      resource: () => spare,
    },
    placeHold: {
      call: (as, o) => as.keys.placeHold({ name: signer, reason: "under test" }, o),
      resource: () => signer,
    },
    releaseHold: {
      call: (as, o) => as.keys.releaseHold({ name: spare, holdId: hold }, o),
      resource: () => spare,
    },
    destroyKey: { call: (as, o) => as.keys.destroyKey({ name: spare }, o), resource: () => spare },
    restoreKey: { call: (as, o) => as.keys.restoreKey({ name: spare }, o), resource: () => spare },
  },
  access: {
    listRoles: { call: (as, o) => as.access.listRoles({}, o), outsider: "allowed" },
    listBindings: { call: (as, o) => as.access.listBindings({}, o) },
    grantRole: { call: (as, o) => as.access.grantRole(binding, o), ...onKeyring },
    revokeRole: { call: (as, o) => as.access.revokeRole(binding, o), ...onKeyring },
    lintConditions: { call: (as, o) => as.access.lintConditions({}, o) },
    listGroups: { call: (as, o) => as.access.listGroups({}, o) },
    addGroupMember: { call: (as, o) => as.access.addGroupMember({ group: keyring, identity }, o) },
    removeGroupMember: { call: (as, o) => as.access.removeGroupMember({ group: keyring, identity }, o) },
    explainAccess: {
      call: (as, o) => as.access.explainAccess({ identity, permission: "keys.get", resource: name }, o),
    },
    decideAccess: {
      call: (as, o) => as.access.decideAccess({ identity, permission: "keys.get", resource: name }, o),
      outcome: "refused",
    },
    listRevocations: { call: (as, o) => as.access.listRevocations({}, o), outcome: "refused" },
    recordRevocation: {
      call: (as, o) => as.access.recordRevocation({ identity, revoked: true }, o),
      outcome: "refused",
    },
  },
  approvals: {
    listApprovalRules: { call: (as, o) => as.approvals.listApprovalRules({}, o) },
    setApprovalRule: {
      call: (as, o) =>
        as.approvals.setApprovalRule(
          { permission: "keys.destroy", resource: keyring, required: 1, group: keyring },
          o,
        ),
      outcome: "failed",
      ...onKeyring,
    },
    removeApprovalRule: {
      call: (as, o) => as.approvals.removeApprovalRule({ permission: "keys.destroy", resource: keyring }, o),
      outcome: "failed",
      ...onKeyring,
    },
    listApprovals: { call: (as, o) => as.approvals.listApprovals({}, o), outsider: "allowed" },
    getApproval: {
      call: (as, o) => as.approvals.getApproval({ id: randomUUID() }, o),
      outcome: "failed",
      outsider: "failed",
    },
    approveRequest: {
      call: (as, o) => as.approvals.approveRequest({ id: randomUUID() }, o),
      outcome: "failed",
      outsider: "failed",
    },
    rejectRequest: {
      call: (as, o) => as.approvals.rejectRequest({ id: randomUUID() }, o),
      outcome: "failed",
      outsider: "failed",
    },
    claimApproval: { call: (as, o) => as.approvals.claimApproval({}, o), outcome: "refused" },
  },
  policy: {
    testPolicy: { call: (as, o) => as.policy.testPolicy({}, o) },
    setPolicy: { call: (as, o) => as.policy.setPolicy({ change: { scope: keyring } }, o), ...onKeyring },
  },
  emergencies: {
    listEmergencyRules: { call: (as, o) => as.emergencies.listEmergencyRules({}, o) },
    setEmergencyRule: {
      call: (as, o) => as.emergencies.setEmergencyRule({ ...binding, minutesMax: 5 }, o),
      ...onKeyring,
    },
    removeEmergencyRule: {
      call: (as, o) => as.emergencies.removeEmergencyRule(binding, o),
      ...onKeyring,
    },
    // Without a reason, so that none is left open.
    openEmergency: {
      call: (as, o) => as.emergencies.openEmergency({ role: "user", resource: keyring }, o),
      outcome: "failed",
      outsider: "failed",
      ...onKeyring,
    },
    closeEmergency: {
      call: (as, o) => as.emergencies.closeEmergency({ id: randomUUID() }, o),
      outcome: "failed",
      outsider: "failed",
    },
    reviewEmergency: {
      call: (as, o) => as.emergencies.reviewEmergency({ id: randomUUID() }, o),
      outcome: "failed",
      outsider: "failed",
    },
    listEmergencies: { call: (as, o) => as.emergencies.listEmergencies({}, o), outsider: "allowed" },
  },
  posture: {
    listPosture: { call: (as, o) => as.posture.listPosture({}, o) },
    raiseFloor: {
      call: async (as, o) => {
        const effectiveAt = { seconds: 4_102_444_800n, nanos: 0 };
        const { floor: raised } = await as.posture.raiseFloor({ requirements: "tls>=1.3", effectiveAt }, o);
        floor = raised?.id ?? "";
      },
    },
    removeFloor: { call: (as, o) => as.posture.removeFloor({ id: floor }, o) },
  },
  identities: {
    createEnrollmentToken: { call: (as, o) => as.identities.createEnrollmentToken({ name: guest }, o) },
    listIdentities: { call: (as, o) => as.identities.listIdentities({}, o) },
    getIdentity: { call: (as, o) => as.identities.getIdentity({ name: guest }, o) },
    revokeIdentity: {
      call: (as, o) => as.identities.revokeIdentity({ name: guest, reason: "superseded" }, o),
    },
  },
  certificates: {
    getAttestationCertificate: {
      call: (as, o) => as.certificates.getAttestationCertificate({}, o),
      outsider: "allowed",
    },
    issueCertificate: {
      call: (as, o) =>
        as.certificates.issueCertificate({ certificateSigningRequest: csr(), profile: "server" }, o),
    },
    requestCertificate: {
      call: (as, o) =>
        as.certificates.requestCertificate({ certificateSigningRequest: csr(), profile: "server" }, o),
      outcome: "refused",
    },
    renewCertificate: {
      call: (as, o) => as.certificates.renewCertificate({ certificateSigningRequest: csr() }, o),
      outsider: "allowed",
    },
    revokeCertificate: {
      call: (as, o) => as.certificates.revokeCertificate({ serial, reason: "superseded" }, o),
    },
    revokePublicKey: {
      call: (as, o) => as.certificates.revokePublicKey({ publicKey: Buffer.from("none") }, o),
      outcome: "failed",
    },
    listCertificates: { call: (as, o) => as.certificates.listCertificates({}, o) },
    getCertificate: { call: (as, o) => as.certificates.getCertificate({ serial }, o) },
    getTrustBundle: { call: (as, o) => as.certificates.getTrustBundle({}, o), outsider: "allowed" },
    getCertificateRevocationList: {
      call: (as, o) => as.certificates.getCertificateRevocationList({}, o),
      outsider: "allowed",
    },
    synchronizeTrust: { call: (as, o) => as.certificates.synchronizeTrust({}, o), outsider: "allowed" },
  },
  tokenIssuers: {
    addTokenIssuer: { call: (as, o) => as.tokenIssuers.addTokenIssuer({ name: "No" }, o), outcome: "failed" },
    listTokenIssuers: { call: (as, o) => as.tokenIssuers.listTokenIssuers({}, o) },
    removeTokenIssuer: {
      call: (as, o) => as.tokenIssuers.removeTokenIssuer({ name: "no" }, o),
      outcome: "failed",
    },
    addTokenRule: { call: (as, o) => as.tokenIssuers.addTokenRule({ identity: "no" }, o), outcome: "failed" },
    removeTokenRule: { call: (as, o) => as.tokenIssuers.removeTokenRule({ id: "no" }, o), outcome: "failed" },
  },
  profiles: {
    createProfile: {
      call: (as, o) => as.profiles.createProfile({ profile: { name: "No" } }, o),
      outcome: "failed",
    },
    listProfiles: { call: (as, o) => as.profiles.listProfiles({}, o) },
    deleteProfile: { call: (as, o) => as.profiles.deleteProfile({ name: "none" }, o), outcome: "failed" },
    addNameRule: { call: (as, o) => as.profiles.addNameRule({ kind: "none" }, o), outcome: "failed" },
    listNameRules: { call: (as, o) => as.profiles.listNameRules({}, o) },
    removeNameRule: { call: (as, o) => as.profiles.removeNameRule({ id: "none" }, o), outcome: "failed" },
    createAuthorityRequest: {
      call: (as, o) => as.profiles.createAuthorityRequest({ name: "none" }, o),
      outcome: "failed",
    },
    installAuthority: {
      call: (as, o) => as.profiles.installAuthority({ name: "none" }, o),
      outcome: "failed",
    },
  },
  authorities: {
    listAuthorities: { call: (as, o) => as.authorities.listAuthorities({}, o) },
    // Others share this installation: its CAs stay.
    startAuthorityRotation: {
      call: (as, o) => as.authorities.startAuthorityRotation({ requestId: "none" }, o),
      outcome: "failed",
    },
    getAuthorityRotation: { call: (as, o) => as.authorities.getAuthorityRotation({}, o) },
    revokeSupersededCertificates: {
      call: (as, o) => as.authorities.revokeSupersededCertificates({ requestId: "none" }, o),
      outcome: "failed",
    },
    distrustAuthority: {
      call: (as, o) => as.authorities.distrustAuthority({ name: "none", generation: 1 }, o),
      outcome: "failed",
    },
    watchTrustBundle: { call: (as, o) => watchBundleBriefly(as, o), outsider: "allowed" },
  },
  rotation: {
    listRotationPolicies: { call: (as, o) => as.rotation.listRotationPolicies({}, o) },
    planRotation: { call: (as, o) => as.rotation.planRotation({ name }, o), ...onKey },
    getRotationStatus: { call: (as, o) => as.rotation.getRotationStatus({ name }, o), ...onKey },
  },
  subscriptions: {
    subscribe: { call: (as, o) => as.subscriptions.subscribe({ name }, o), ...onKey },
    listSubscribers: { call: (as, o) => as.subscriptions.listSubscribers({ name }, o), ...onKey },
    watchRotations: {
      call: (as, o) => watchBriefly(as, o),
      outsider: "allowed",
      ...onKey,
    },
    acknowledgeRotation: {
      call: (as, o) => as.subscriptions.acknowledgeRotation({ name, version: 99 }, o),
      outcome: "failed",
      ...onKey,
    },
    unsubscribe: {
      call: (as, o) => as.subscriptions.unsubscribe({ name }, o),
      outsider: "failed",
      ...onKey,
    },
  },
  backup: {
    beginBackup: { call: (as, o) => as.backup.beginBackup(recipient, o) },
    listBackups: { call: (as, o) => as.backup.listBackups({}, o) },
    getCustody: { call: (as, o) => as.backup.getCustody({}, o) },
    acknowledgeCustody: {
      call: (as, o) => as.backup.acknowledgeCustody({ proof: Buffer.alloc(32) }, o),
      outcome: "failed",
      outsider: "failed",
    },
    purgeBackup: { call: (as, o) => as.backup.purgeBackup({ backupId: randomUUID() }, o), outcome: "failed" },
    beginDrill: {
      call: (as, o) =>
        as.backup.beginDrill(
          { backupId: randomUUID(), madeAt: new Date().toISOString(), recoveryKey: "0011223344556677" },
          o,
        ),
    },
    endDrill: { call: (as, o) => as.backup.endDrill({ drillId: randomUUID() }, o), outcome: "failed" },
    listDrills: { call: (as, o) => as.backup.listDrills({}, o) },
    attestBackup: {
      call: async (as, o) => {
        const { recoveryKey } = await claviger.backup.getCustody({});
        const manifestDigest = randomBytes(32);
        return as.backup.attestBackup({ backupId: randomUUID(), manifestDigest, recoveryKey }, o);
      },
    },
  },
  distributionRows: {
    checkRows: {
      call: async (as, o) => {
        for await (const _ of as.distributionRows.checkRows({}, o)) {
          // Until it is done.
        }
      },
    },
  },
  rotationRows: {
    checkRows: {
      call: async (as, o) => {
        for await (const _ of as.rotationRows.checkRows({}, o)) {
          // Until it is done.
        }
      },
    },
  },
  registry: {
    listEndings: {
      call: async (as, o) => {
        for await (const _ of as.registry.listEndings({}, o)) {
          // Until it is done.
        }
      },
    },
    checkRegistry: {
      call: async (as, o) => {
        for await (const _ of as.registry.checkRegistry({}, o)) {
          // Until it is done.
        }
      },
    },
  },
  recipients: {
    beginRecipient: {
      call: (as, o) => as.recipients.beginRecipient({ publicKey: recipient.recipientPublicKey }, o),
      outsider: "allowed",
    },
    registerRecipient: {
      call: (as, o) => as.recipients.registerRecipient({}, o),
      outcome: "failed",
      outsider: "failed",
    },
    listRecipients: { call: (as, o) => as.recipients.listRecipients({}, o) },
  },
  sessions: {
    openSession: {
      call: (as, o) =>
        as.sessions.openSession(
          {
            signed: signedBy(as, "open-session", {
              peer: identity,
              recipientKey: Buffer.from(recipient.recipientPublicKey).toString("base64"),
              lifetimeSeconds: 0,
            }),
          },
          o,
        ),
      outcome: "refused",
    },
    allowSessions: { call: (as, o) => as.sessions.allowSessions({ initiator: guest, peer: guest }, o) },
    forbidSessions: { call: (as, o) => as.sessions.forbidSessions({ initiator: guest, peer: guest }, o) },
    listSessionRules: { call: (as, o) => as.sessions.listSessionRules({}, o) },
  },
  groups: {
    createGroup: {
      call: (as, o) => as.groups.createGroup({ signed: signedBy(as, "create-group", { group: guest }) }, o),
    },
    joinGroup: {
      call: (as, o) =>
        as.groups.joinGroup({ signed: signedBy(as, "join-group", { group: guest, members: [identity] }) }, o),
    },
    leaveGroup: {
      call: (as, o) =>
        as.groups.leaveGroup(
          { signed: signedBy(as, "leave-group", { group: guest, members: [identity] }) },
          o,
        ),
    },
    getKeyGroup: { call: (as, o) => as.groups.getKeyGroup({ name: guest }, o) },
    listKeyGroups: { call: (as, o) => as.groups.listKeyGroups({}, o) },
    getGroupKeys: { call: (as, o) => as.groups.getGroupKeys({ name: guest }, o), outcome: "refused" },
    watchGroupKeys: { call: watchGroupBriefly, outsider: "allowed" },
  },
  preSharedKeys: {
    createPreSharedKey: {
      call: (as, o) =>
        as.preSharedKeys.createPreSharedKey(
          {
            signed: signedBy(as, "create-psk", {
              name: guest,
              generation: 1,
              parties: [identity, `${identity}x`],
            }),
          },
          o,
        ),
      outcome: "failed",
    },
    getPreSharedKey: {
      call: (as, o) => as.preSharedKeys.getPreSharedKey({ name: guest }, o),
      outcome: "failed",
    },
    listPreSharedKeys: { call: (as, o) => as.preSharedKeys.listPreSharedKeys({}, o) },
    fetchPreSharedKey: {
      call: (as, o) => as.preSharedKeys.fetchPreSharedKey({ name: guest }, o),
      outcome: "refused",
    },
    acknowledgePreSharedKey: {
      call: (as, o) => as.preSharedKeys.acknowledgePreSharedKey({ name: guest, generation: 1 }, o),
      outcome: "refused",
    },
  },
  deliveries: {
    deliverKey: {
      call: (as, o) =>
        as.deliveries.deliverKey(
          {
            name: leaves,
            signed: signedBy(as, "deliver-key", {
              name: leaves,
              version: 0,
              recipients: [identity],
              format: "jwe",
            }),
          },
          o,
        ),
      outcome: "failed",
      resource: () => leaves,
    },
    listWaitingDeliveries: {
      call: (as, o) => as.deliveries.listWaitingDeliveries({}, o),
      outsider: "allowed",
    },
    fetchDelivery: {
      call: (as, o) => as.deliveries.fetchDelivery({ id: randomUUID() }, o),
      outcome: "refused",
    },
    acknowledgeDelivery: {
      call: (as, o) =>
        as.deliveries.acknowledgeDelivery(
          { signed: signedBy(as, "receive-key", { delivery: randomUUID() }) },
          o,
        ),
      outcome: "refused",
    },
    listDeliveries: { call: (as, o) => as.deliveries.listDeliveries({}, o) },
  },
  audit: {
    searchRecords: { call: (as, o) => as.audit.searchRecords({}, o) },
    getInclusionProof: { call: (as, o) => as.audit.getInclusionProof({ sequence: 0n }, o) },
    getCheckpoint: { call: (as, o) => as.audit.getCheckpoint({}, o) },
  },
};

/** What `as` asks for, signed as the SDK does. */
function signedBy(as: Claviger, does: string, fields: Parameters<typeof signRequest>[1]["fields"]) {
  const by = as.identity.leaf.subjectAltName!.replace("URI:", "");
  return signRequest(as.identity.material, { by, does, fields });
}

async function watchGroupBriefly(as: Claviger, options: CallOptions): Promise<void> {
  const signal = AbortSignal.timeout(500);
  for await (const _ of as.groups.watchGroupKeys({ name: "nobodys" }, { ...options, signal })) return;
}

async function watchBriefly(as: Claviger, options: CallOptions): Promise<void> {
  const signal = AbortSignal.timeout(500);
  for await (const _ of as.subscriptions.watchRotations({ name }, { ...options, signal })) return;
}

async function watchBundleBriefly(as: Claviger, options: CallOptions): Promise<void> {
  const signal = AbortSignal.timeout(500);
  for await (const _ of as.authorities.watchTrustBundle({}, { ...options, signal })) return;
}

interface Made {
  method: string;
  traceId: string;
  actor: string;
  outcome: Outcome;
  resource: string;
}

interface Row {
  leaf: string;
  personal: string;
}

const made: Made[] = [];

/** Calls everything as `as`, in the table's order. */
async function callAll(as: Claviger, actor: string, who: "outcome" | "outsider"): Promise<void> {
  for (const service of Object.values(steps)) {
    for (const [method, step] of Object.entries(service) as [string, Step][]) {
      const traceId = randomBytes(16).toString("hex");
      await Promise.resolve(step.call(as, { traceId })).catch(() => undefined);
      const outcome = who === "outcome" ? (step.outcome ?? "allowed") : (step.outsider ?? "refused");
      const servicesOnly = step.outcome === "refused";
      const resource = servicesOnly ? "*" : (step.resource?.() ?? "*");
      made.push({
        method: `${method[0]!.toUpperCase()}${method.slice(1)}`,
        traceId,
        actor,
        outcome,
        resource,
      });
    }
  }
}

async function prepare(): Promise<void> {
  const { certificates, cryptography, identities, keyGeneration, keys } = claviger;
  // The table creates the keyring itself, so what it needs besides lives in it only afterwards.
  outsider = await house.enrol(unique("outsider"));
  const { serial: issued } = await certificates.issueCertificate({
    certificateSigningRequest: csr(),
    profile: "server",
  });
  serial = issued;
  const first = steps.keyrings.createKeyring;
  const traceId = randomBytes(16).toString("hex");
  await first.call(claviger, { traceId });
  const actor = `spiffe://${house.trustDomain}/user/administrator`;
  made.push({ method: "CreateKeyring", traceId, actor, outcome: "allowed", resource: keyring });
  first.outcome = "failed";
  await keyGeneration.createKey({ name: signer, algorithm: "ecdsa-p256", protection: "hsm" });
  await keyGeneration.createKey({ name: spare, algorithm: "aes-256-gcm" });
  hold = (await keys.placeHold({ name: spare, reason: "under test" })).hold!.id;
  const other = unique("covered");
  await claviger.keyrings.createKeyring({ name: other });
  await keyGeneration.createKey({ name: `${other}/k`, algorithm: "aes-256-gcm" });
  // Of another key: decryption fails by itself, and a batch reports it item by item.
  ({ ciphertext } = await cryptography.encrypt({ name: `${other}/k`, plaintext }));
  steps.cryptography.decrypt.outcome = "failed";
  ({ signature } = await cryptography.sign({ name: signer, message: plaintext }));
  steps.cryptography.reencrypt.outcome = "failed";
  await prepareForSecrets();
  ({ token } = await identities.createEnrollmentToken({ name: unique("unused") }));
}

async function prepareForSecrets(): Promise<void> {
  const { cryptography, keyGeneration } = claviger;
  await keyGeneration.createKey({ name: macs, algorithm: "hmac-sha256" });
  await keyGeneration.createKey({ name: wraps, algorithm: "aes-256-kwp" });
  await keyGeneration.createKey({ name: leaves, algorithm: "aes-256-gcm", exportable: true });
  await keyGeneration.createKey({ name: agrees, algorithm: "ecdh-p256" });
  await keyGeneration.createKey({ name: opens, algorithm: "ml-kem-768" });
  recipient = { recipientPublicKey: (await createRecipient()).publicKey };
  ({ encryptedKey: wrappedKey } = await cryptography.generateDataKey({ name: wraps }));
  const peer = generateKeyPairSync("ec", { namedCurve: "P-256" }).publicKey;
  peerPublicKey = peer.export({ type: "spki", format: "der" });
  ({ encapsulation } = await cryptography.encapsulate({ name: opens, ...recipient }));
}

async function recordsOf(traceId: string, method: string): Promise<Row[]> {
  return house.superuser<Row>(
    `SELECT leaf, personal FROM audit.records
      WHERE leaf::jsonb ->> 'traceId' = $1 AND method LIKE '%/' || $2`,
    [traceId, method],
  );
}

describe("every RPC that a client can make", () => {
  beforeAll(async () => {
    await prepare();
    await callAll(claviger, `spiffe://${house.trustDomain}/user/administrator`, "outcome");
    await callAll(outsider, outsider.uri, "outsider");
  });

  test("leaves exactly one record, with who, what, on what, and how it ended", async () => {
    const last = made.at(-1)!;
    await until(async () => (await recordsOf(last.traceId, last.method)).length > 0, 15_000);
    const wrong: object[] = [];
    for (const expected of made) {
      await until(async () => (await recordsOf(expected.traceId, expected.method)).length > 0, 5_000).catch(
        () => undefined,
      );
      const rows = await recordsOf(expected.traceId, expected.method);
      const [row] = rows;
      const leaf = JSON.parse(row?.leaf ?? "{}") as Record<string, string>;
      const personal = JSON.parse(row?.personal ?? "{}") as Record<string, string>;
      const found = {
        records: rows.length,
        actor: personal.actor,
        outcome: leaf.outcome,
        resource: leaf.resource,
        personIsBeside: !row?.leaf.includes(expected.actor),
      };
      const { actor, outcome, resource } = expected;
      const wanted = { records: 1, actor, outcome, resource, personIsBeside: true };
      if (JSON.stringify(found) !== JSON.stringify(wanted))
        wrong.push({ method: expected.method, found, wanted });
    }
    expect(wrong).toEqual([]);
    expect(made.length).toBeGreaterThan(100);
  });

  test("writes down neither what was protected nor a hash of it, neither tokens nor signatures", async () => {
    const [row] = await house.superuser<{ everything: string }>(
      "SELECT string_agg(leaf || coalesce(personal, ''), '') AS everything FROM audit.records",
    );
    const digest = createHash("sha256").update(plaintext).digest();
    const forms = [secret, ...[plaintext, digest, Buffer.from(signature)].flatMap(encodings)];
    for (const form of [...forms, token, token.split(".")[1]!]) {
      expect(row!.everything.includes(form), form).toBe(false);
    }
  });
});

function encodings(bytes: Buffer): string[] {
  return (["hex", "base64", "base64url"] as const).map((encoding) => bytes.toString(encoding));
}
