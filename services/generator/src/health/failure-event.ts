import { randomUUID } from "node:crypto";
import type { Bus } from "@claviger/bus";
import type { RandomnessFailure } from "./randomness-tests.ts";

const retryMilliseconds = 1000;

/** Tells everybody who listens that the HSM's random source has failed; again and again until the bus has it. */
export async function announceRandomnessFailure(
  busOf: () => Pick<Bus, "publish"> | undefined,
  failure: RandomnessFailure,
): Promise<void> {
  const id = randomUUID();
  const event = {
    specversion: "1.0",
    id,
    source: "/claviger/generator",
    type: "claviger.hsm.randomness-failed.v1",
    subject: "hsm",
    time: new Date().toISOString(),
    datacontenttype: "application/json",
    data: { test: failure },
  };
  for (;;) {
    const bus = busOf();
    try {
      if (bus === undefined) throw new Error("not there yet");
      await bus.publish(
        "claviger.events.generator.hsm.randomness-failed",
        Buffer.from(JSON.stringify(event)),
        id,
      );
      return;
    } catch {
      await new Promise((resolve) => setTimeout(resolve, retryMilliseconds).unref());
    }
  }
}
