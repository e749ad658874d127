import { DomainError } from "@claviger/domain-error";

const batchItemsMax = 1000;

export type ItemResult<Value> = { value: Value } | { error: { kind: string; message: string } };

/** @throws DomainError `invalid-argument` where the batch itself is out of bounds */
export function checkBatch(items: readonly unknown[]): void {
  if (items.length >= 1 && items.length <= batchItemsMax) return;
  throw new DomainError("invalid-argument", `a batch has 1 to ${batchItemsMax} items, not ${items.length}`);
}

/** Runs a batch: an item's failure is its own. @throws DomainError where the batch itself is out of bounds */
export async function runBatch<Item, Value>(
  items: readonly Item[],
  work: (item: Item) => Promise<Value> | Value,
): Promise<ItemResult<Value>[]> {
  checkBatch(items);
  const results = items.map((item) => attempt(item, work));
  // What OpenSSL did is there already: only what the HSM does is waited for.
  return results.some((result) => result instanceof Promise)
    ? Promise.all(results)
    : (results as ItemResult<Value>[]);
}

function attempt<Item, Value>(
  item: Item,
  work: (item: Item) => Promise<Value> | Value,
): Promise<ItemResult<Value>> | ItemResult<Value> {
  try {
    const value = work(item);
    return value instanceof Promise ? value.then((done) => ({ value: done }), failed) : { value };
  } catch (error) {
    return failed(error);
  }
}

function failed(error: unknown): { error: { kind: string; message: string } } {
  if (!(error instanceof DomainError)) throw error;
  return { error: { kind: error.kind, message: error.message } };
}
