import type { ManagedProcess } from "./managed-process.ts";
import { type ServiceName, serviceNames } from "./parts.ts";
import { callsInto } from "./services.ts";

/** All of stopping, whatever hangs. */
const stopMilliseconds = 9_000;
/** More than a service takes by itself: who is killed has not cleared its keys. */
const serviceGraceMilliseconds = 4_000;

export type Services = Readonly<Record<ServiceName, ManagedProcess>>;

/** Starts all services at once: each waits by itself for those that it calls. */
export async function startServices(
  services: Services,
  started: (part: ManagedProcess) => Promise<void>,
): Promise<void> {
  await allOrFirstFailure(serviceNames.map((name) => started(services[name])));
}

/** As Promise.all; the failures after the first are the first one's consequences, and are dropped. */
export async function allOrFirstFailure(promises: Promise<void>[]): Promise<void> {
  for (const promise of promises) promise.catch(() => undefined);
  await Promise.all(promises);
}

/** Ends a service before what it calls, and the database and the bus at last. */
export async function stopInOrder(services: Services, foundations: readonly ManagedProcess[]): Promise<void> {
  const deadline = performance.now() + stopMilliseconds;
  const left = () => Math.max(deadline - performance.now(), 250);
  const stopped = new Map<ServiceName, Promise<void>>();
  const whenStopped = (name: ServiceName): Promise<void> => {
    const known = stopped.get(name);
    if (known !== undefined) return known;
    const callers = serviceNames.filter((other) => callsInto[other].includes(name));
    const promise = Promise.all(callers.map(whenStopped)).then(() =>
      services[name].stop(Math.min(serviceGraceMilliseconds, left())),
    );
    stopped.set(name, promise);
    return promise;
  };
  await Promise.all(serviceNames.map(whenStopped));
  await Promise.all(foundations.map((part) => part.stop(left())));
}
