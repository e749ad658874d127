/** The version of the programs of this tree; every package carries the same. */
export const version = "0.1.0";
