// npm run bench: host speed of the simulator. Medians with extremes; seconds are processor time except for start-up;
// nothing here is a simulated cycle.
import { cpus } from "node:os";
import { scriptArguments } from "../scripts/command-line.js";
import { Children } from "./child.js";
import { collections } from "./collections.js";
import { guestLoops } from "./guest-loops.js";
import { hypercallRate } from "./hypercall-rate.js";
import { residentMemory } from "./resident-memory.js";
import { startUp } from "./start-up.js";

scriptArguments("bench", {});
const children = new Children();
try {
  console.log(`${cpus()[0].model}, Node ${process.version}\n`);
  await guestLoops(children);
  await hypercallRate(children);
  await collections(children);
  await residentMemory(children);
  await startUp();
} finally {
  children.close();
}
