import { type AlgorithmRow, algorithms } from "./algorithms.ts";

/** docs/algorithms.md: the table of code, for people. */
export function algorithmsDocument(): string {
  const rows = Object.entries(algorithms as Record<string, AlgorithmRow>).map(([name, row]) => [
    `\`${name}\``,
    row.operations.filter((operation) => operation !== "public-key" && operation !== "export").join(", "),
    String(row.strengthBits),
    row.hsm === undefined ? "software" : "software, hsm",
    row.status === "approved" ? "approved" : `legacy until ${row.status.legacyUntil} (${row.status.source})`,
    row.usageLimit === undefined ? "" : `2^${Math.log2(row.usageLimit.operations)}: ${row.usageLimit.source}`,
    row.approvedBy,
  ]);
  const heading = [
    "algorithm",
    "operations",
    "strength, bits",
    "protection",
    "status",
    "limit of a version",
    "by",
  ];
  const widths = heading.map((_, at) => Math.max(...[heading, ...rows].map((cells) => cells[at]!.length)));
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, at) => cell.padEnd(widths[at]!)).join(" | ")} |`;
  return `${[
    "# Algorithms",
    "",
    "Made from the table in services/generator/src/algorithms.ts; a test keeps both alike, and with `-u` writes this.",
    "",
    "- `hsm` protection is served where the PKCS#11 module has the mechanisms and can wrap the key. What it lacks is",
    "  said when a key is made. SoftHSM 2.6 has everything that is listed but RSA-OAEP with SHA-256.",
    "- Legacy algorithms are refused for new keys unless the generator runs with `CLAVIGER_LEGACY_ALGORITHMS=admit`, and",
    "  after their day in any case. Keys that have them stay usable.",
    "- Anything else is refused with the reason and with what to use instead.",
    "",
    line(heading),
    line(widths.map((width) => "-".repeat(width))),
    ...rows.map(line),
  ].join("\n")}\n`;
}
