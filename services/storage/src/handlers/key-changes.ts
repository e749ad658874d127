import { create, type DescMessage, type MessageInitShape, type MessageShape } from "@bufbuild/protobuf";
import { timestampDate } from "@bufbuild/protobuf/wkt";
import type { Transaction } from "@claviger/database";
import { hashRequest, once } from "@claviger/idempotency";
import {
  ChangeKeyStateRequestSchema,
  ChangeKeyStateResponseSchema,
  DescribeKeyRequestSchema,
  DescribeKeyResponseSchema,
  DestroyKeyRequestSchema,
  DestroyKeyResponseSchema,
  type Key,
  type KeyService,
  RestoreKeyRequestSchema,
  RestoreKeyResponseSchema,
  ScheduleKeyRequestSchema,
  ScheduleKeyResponseSchema,
  SetKeyringFloorRequestSchema,
  SetKeyringFloorResponseSchema,
  SetRotationPeriodRequestSchema,
  SetRotationPeriodResponseSchema,
} from "@claviger/proto/storage/v1/key_pb.ts";
import type { CallContext, Handlers } from "@claviger/rpc";
import { floorOf, setFloor } from "../destruction-period.ts";
import { checkRotationPeriod } from "../key-creation.ts";
import { describe } from "../key-description.ts";
import { changeState, requireAlive, restore, scheduleDestruction } from "../key-lifecycle.ts";
import { schedule } from "../key-schedule.ts";
import { generationHistory } from "../keyring-generations.ts";
import { checkKeyringName } from "../names.ts";
import { fullName, publish, type Registry, requireKeyring } from "../registry.ts";
import { type KeyRow, updateKey } from "../store/keys.ts";
import { changing, identify } from "./changing.ts";
import { keyringMessage } from "./messages.ts";

type OpenRegistry = (tx: Transaction) => Registry;
type Context = CallContext<Transaction>;
type ChangeHandlers = Pick<
  Handlers<typeof KeyService, Transaction>,
  | "changeKeyState"
  | "destroyKey"
  | "restoreKey"
  | "setRotationPeriod"
  | "scheduleKey"
  | "describeKey"
  | "setKeyringFloor"
>;

export function changeHandlers(open: OpenRegistry): ChangeHandlers {
  /** Once for a request id; the answer is the key as it is then. */
  const changeOnce = async <Request extends DescMessage, Response extends DescMessage>(
    context: Context,
    schemas: { request: Request; response: Response },
    request: MessageShape<Request> & { requestId: string; name: string },
    how: (registry: Registry, key: KeyRow) => Promise<KeyRow>,
  ): Promise<MessageShape<Response>> => {
    const registry = open(context.unit);
    const asked = identify(context, request.requestId, hashRequest(schemas.request, request));
    const { response } = await once(registry, asked, schemas.response, async () => {
      const key: Key = await changing(registry, context, request.name, how);
      return create(schemas.response, { key } as unknown as MessageInitShape<Response>);
    });
    return response;
  };
  return {
    async changeKeyState(request, context) {
      const schemas = { request: ChangeKeyStateRequestSchema, response: ChangeKeyStateResponseSchema };
      const response = await changeOnce(context, schemas, request, (registry, key) =>
        changeState(registry, key, request),
      );
      context.note({ version: request.version, target: request.state, reason: request.reason });
      return response;
    },
    destroyKey(request, context) {
      const schemas = { request: DestroyKeyRequestSchema, response: DestroyKeyResponseSchema };
      return changeOnce(context, schemas, request, (registry, key) =>
        scheduleDestruction(registry, key, { despiteHolds: false }),
      );
    },
    restoreKey(request, context) {
      const schemas = { request: RestoreKeyRequestSchema, response: RestoreKeyResponseSchema };
      return changeOnce(context, schemas, request, restore);
    },
    async setRotationPeriod(request, context) {
      const rotationPeriodSeconds = checkRotationPeriod(Number(request.rotationPeriodSeconds));
      const schemas = { request: SetRotationPeriodRequestSchema, response: SetRotationPeriodResponseSchema };
      const response = await changeOnce(context, schemas, request, async (registry, key) => {
        requireAlive(key);
        const said = { keyId: key.id, rotationPeriodSeconds };
        await publish(registry, "key.configured", fullName(key), said);
        return updateKey(registry.tx, registry.sealer, { ...key, rotationPeriodSeconds });
      });
      context.note({ rotationPeriodSeconds });
      return response;
    },
    async scheduleKey(request, context) {
      const { activateAt, expireAt, neverExpires, version } = request;
      const change = {
        version,
        activateAt: activateAt === undefined ? undefined : timestampDate(activateAt),
        expireAt: expireAt === undefined ? undefined : timestampDate(expireAt),
        neverExpires,
      };
      const schemas = { request: ScheduleKeyRequestSchema, response: ScheduleKeyResponseSchema };
      const response = await changeOnce(context, schemas, request, (registry, key) =>
        schedule(registry, key, change),
      );
      context.note({
        version,
        activateAt: change.activateAt?.toISOString() ?? "",
        expireAt: neverExpires ? "never" : (change.expireAt?.toISOString() ?? ""),
      });
      return response;
    },
    // What was said is in the key alone: not in the log, nor on the bus.
    describeKey(request, context) {
      const schemas = { request: DescribeKeyRequestSchema, response: DescribeKeyResponseSchema };
      return changeOnce(context, schemas, request, (registry, key) => describe(registry, key, request));
    },
    async setKeyringFloor(request, context) {
      const registry = open(context.unit);
      const asked = identify(context, request.requestId, hashRequest(SetKeyringFloorRequestSchema, request));
      const { response } = await once(registry, asked, SetKeyringFloorResponseSchema, async () => {
        const row = await requireKeyring(registry, checkKeyringName(request.name));
        await setFloor(registry, row.name, request.destroyAfterDaysMin);
        const generations = await generationHistory(registry, row.name);
        const keyring = keyringMessage(row, generations, await floorOf(registry, row.name));
        return create(SetKeyringFloorResponseSchema, { keyring });
      });
      context.note({ destroyAfterDaysMin: request.destroyAfterDaysMin });
      return response;
    },
  };
}
