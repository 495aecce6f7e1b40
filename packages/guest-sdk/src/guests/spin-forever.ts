import { defineGuest, type Guest } from "../guest.js";

/** Prints one line and never ends: for budgets. */
export const spinForever: Guest = defineGuest("spin-forever", (g) => {
  g.print("spin-forever: only a budget ends this\n");
  const forever = g.asm.here("spin");
  g.asm.jmp(forever);
});
