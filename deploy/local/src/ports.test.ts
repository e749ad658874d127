import { createServer } from "node:net";
import { expect, it } from "vitest";
import { basePortFrom, chooseFreeBlock, portsOf, takenPorts } from "./ports.ts";

it("gives every listener of an installation a port of its own, inside one block", () => {
  const ports = Object.values(portsOf(7_400));
  expect(new Set(ports).size).toBe(ports.length);
  expect(Math.max(...ports)).toBeLessThan(7_500);
});

it("passes over a block in which another program holds a port", async () => {
  const base = await chooseFreeBlock(21_400);
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(portsOf(base).nats, "127.0.0.1", resolve));
  expect(await takenPorts(base)).toEqual([portsOf(base).nats]);
  expect(await chooseFreeBlock(base)).toBeGreaterThanOrEqual(base + 100);
  await new Promise((resolve) => server.close(resolve));
});

it("refuses a base port that is none", () => {
  expect(() => basePortFrom({ CLAVIGER_BASE_PORT: "80" })).toThrow("CLAVIGER_BASE_PORT");
  expect(basePortFrom({ CLAVIGER_BASE_PORT: "" })).toBeUndefined();
});
