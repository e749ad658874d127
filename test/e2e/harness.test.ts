import { expect, test } from "vitest";
import { unique, useInstallation } from "../harness/installation.ts";

const installation = useInstallation();

test("an installation runs, answers the administrator, enrols others and shows its database to its owner", async () => {
  const { claviger } = installation;
  const keyring = unique("harness");
  await claviger.keyrings.createKeyring({ name: keyring });
  const user = await installation.enrol(unique("worker"), "user", keyring);
  expect((await user.keys.getKeyring({ name: keyring })).keyring?.name).toBe(keyring);
  const rows = await installation.superuser("select name from storage.keyrings where name = $1", [keyring]);
  expect(rows).toEqual([{ name: keyring }]);
  expect(installation.pidOf("generator")).toBeGreaterThan(1);
  const result = await installation.cli(["keyrings", "list", "--json"], { config: user.configPath });
  expect(result.stdout).toContain(keyring);
});
