/**
 * A row's fields as they are sealed: of columns that were added later, those that say something. Names are sealed with
 * values, so that one that is left out cannot be put in, nor the other way round; and rows from before stay as they are.
 */
export function presentFields<Row extends object>(row: Row, added: readonly (keyof Row)[]): Row {
  const fields = { ...row };
  for (const name of added) if (fields[name] === null || fields[name] === "") delete fields[name];
  return fields;
}
