export { busProbe, type DatabaseServiceParts, openDatabaseService } from "./database-service.ts";
export { forgetRequestsByTheHour } from "./forget-requests.ts";
export { ensureHeldKey } from "./held-key.ts";
export { type Lifetime, runService } from "./lifetime.ts";
export { createLogger, describeError, type Logger, limitedWarnings } from "./logger.ts";
export { Rounds, type RoundsOptions } from "./rounds.ts";
export { internalErrorLogger, serve } from "./serve.ts";
export {
  addressText,
  type CommonSettings,
  type DatabaseSettings,
  readCommonSettings,
  readDatabaseSettings,
} from "./settings.ts";
export { type DependencyProbe, probe, statusService } from "./status.ts";
export { version } from "./version.ts";
