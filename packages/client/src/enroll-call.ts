import { createSecureContext } from "node:tls";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { DomainError, isErrorKind } from "@claviger/domain-error";
import { serviceIdentity } from "@claviger/identity";
import {
  EnrollmentService,
  EnrollRequestSchema,
  type EnrollResponse,
  EnrollResponseSchema,
} from "@claviger/proto/distribution/v1/identity_pb.ts";
import { credentials, Client as GrpcClient, Metadata, type ServiceError, status } from "@grpc/grpc-js";

export interface EnrollCall {
  /** `host:port`. */
  address: string;
  /** PEM. */
  trustBundle: string;
  trustDomain: string;
  token: string;
  certificateSigningRequest: Uint8Array;
}

const deadlineMilliseconds = 15_000;

/**
 * Calls Enroll: TLS 1.3 without a client certificate, to nobody but this trust domain's distribution
 * service. It is called once: a repeat of a one-time token could not succeed.
 */
export async function callEnroll(call: EnrollCall): Promise<EnrollResponse> {
  const wanted = serviceIdentity(call.trustDomain, "distribution").uri;
  let sawAnother = false;
  const context = createSecureContext({ ca: call.trustBundle, minVersion: "TLSv1.3" });
  const channel = credentials.createFromSecureContext(context, {
    checkServerIdentity: (_host, certificate) => {
      const uris = (certificate.subjectaltname ?? "").split(", ").filter((entry) => entry.startsWith("URI:"));
      if (uris.length === 1 && uris[0] === `URI:${wanted}`) return undefined;
      sawAnother = true;
      return new Error(`the server is not ${wanted}`);
    },
  });
  // SNI may not be an IP address, and the check above looks at the SPIFFE URI alone.
  const client = new GrpcClient(call.address, channel, { "grpc.ssl_target_name_override": "localhost" });
  try {
    return await enrollOnce(client, call);
  } catch (error) {
    throw asDomainError(error as ServiceError, call.address, sawAnother ? wanted : undefined);
  } finally {
    client.close();
  }
}

function enrollOnce(client: GrpcClient, call: EnrollCall): Promise<EnrollResponse> {
  const { token, certificateSigningRequest } = call;
  const request = create(EnrollRequestSchema, { token, certificateSigningRequest });
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(
      `/${EnrollmentService.typeName}/Enroll`,
      (message: Uint8Array) => Buffer.from(message),
      (bytes: Buffer) => fromBinary(EnrollResponseSchema, bytes),
      toBinary(EnrollRequestSchema, request),
      new Metadata(),
      { deadline: Date.now() + deadlineMilliseconds },
      (error, response) => {
        if (error !== null) reject(error);
        else if (response === undefined) reject(new DomainError("internal", "an answer without a message"));
        else resolve(response);
      },
    );
  });
}

function asDomainError(error: ServiceError | DomainError, address: string, wanted?: string): DomainError {
  if (error instanceof DomainError) return error;
  const kind = error.metadata?.get("claviger-kind")[0];
  if (typeof kind === "string" && isErrorKind(kind)) {
    const hint = error.metadata.get("claviger-hint-bin")[0]?.toString();
    return new DomainError(kind, error.details, { hint, cause: error });
  }
  if (wanted !== undefined || /certificate/i.test(error.details ?? "")) {
    return new DomainError(
      "unauthenticated",
      `what answers at ${address} is not ${wanted ?? "of the trust root"}`,
      {
        hint: "somebody may stand between, or this is another installation: ask for a new token, and send nothing",
        cause: error,
      },
    );
  }
  const late = error.code === status.DEADLINE_EXCEEDED;
  return new DomainError(
    late ? "deadline-exceeded" : "unavailable",
    `${address} cannot be reached to enrol`,
    {
      hint: "check that the distribution service runs and that this machine can reach it",
      cause: error,
    },
  );
}
