/** What a call was refused with. @throws where it was not refused at all */
export async function refusalOf(
  call: Promise<unknown>,
): Promise<{ kind: string; message: string; hint?: string }> {
  try {
    await call;
  } catch (error) {
    return error as { kind: string; message: string; hint?: string };
  }
  throw new Error("the call was not refused");
}
