export {
  type AccessAnswer,
  type AccessQuestion,
  createLeasedAccess,
  type DecideAccess,
  type LeasedAccess,
  refuseSilence,
} from "./leased-access.ts";
export { isPermission, type Permission, permissions } from "./permissions.ts";
