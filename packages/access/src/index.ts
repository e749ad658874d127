export {
  type AccessAnswer,
  type AccessQuestion,
  createLeasedAccess,
  type DecideAccess,
  type LeasedAccess,
} from "./leased-access.ts";
export { isPermission, type Permission, permissions } from "./permissions.ts";
