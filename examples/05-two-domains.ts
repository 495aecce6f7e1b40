// A disk whose backend is another domain: a page granted to it, an event channel, and what a request costs. Run with:
//   npx tsx --conditions=@hyperwalk/source examples/05-two-domains.ts
import { epyc9124 } from "@hyperwalk/cpu";
import { atLabel, defineGuest, resized } from "@hyperwalk/guest-sdk";
import { createXenSystem } from "@hyperwalk/xen";

const BACKEND = 2;
const REFERENCE = 8; // the first that is not the toolstack's
const PORT = 3; // the first that is not the toolstack's
const SECTOR_BYTES = 512;
const GTF_PERMIT_ACCESS = 1;
const GNTMAP_HOST_MAP = 2;
const XENMAPSPACE_GRANT_TABLE = 1;
const DOMID_SELF = 0x7ff0;

const frontend = defineGuest("frontend", (g) => {
  const { eventChannel, memory, sched } = g.hypercall;
  const grants = g.buffer(4096, 4096);
  const page = g.buffer(4096, 4096); // sector number, then its data
  // The grant table takes the place of a page of the guest's own.
  const gpfn = g.frameOf(grants);
  memory.addToPhysmap({ size: 0, space: XENMAPSPACE_GRANT_TABLE, idx: 0, gpfn });
  gpfn.release();
  const frame = g.frameOf(page);
  g.asm.mov(atLabel(grants.label, 8 * REFERENCE + 4), resized(frame.register, 32));
  g.asm.mov(atLabel(grants.label, 8 * REFERENCE), GTF_PERMIT_ACCESS | (BACKEND << 16), 32);
  frame.release();
  const port = eventChannel.allocUnbound({ dom: DOMID_SELF, remoteDom: BACKEND }).output("port");
  sched.block(); // until the backend is there
  g.asm.mov(atLabel(page.label), 7, 32);
  const cycles = g.measure(() => eventChannel.send({ port }));
  const first = g.variable(0);
  g.asm.mov(resized(first.register, 32), atLabel(page.label, SECTOR_BYTES));
  g.print("sector 7 starts with ");
  g.printHex(first);
  g.print(", asked for in ");
  g.printDecimal(cycles);
  g.print(" cycles\n");
});

const image = frontend.build({ abi: "linear", vendor: epyc9124.vendor });
const system = createXenSystem({
  profile: epyc9124,
  domain: { image, memoryBytes: 64 * 2 ** 20, abi: "linear" },
  peers: [{ id: BACKEND, memoryBytes: 16 * 2 ** 20 }],
});
console.log(system.run({ maxInstructions: 1_000_000 }).reason, "until the backend comes");

const [backend] = system.peers;
const shared = 0x2000 * 4096; // a guest-physical address where the backend has no memory
const mapping = backend.mapGrantRef({
  dom: system.domain.id,
  ref: REFERENCE,
  hostAddr: shared,
  flags: GNTMAP_HOST_MAP,
});
const theirs = backend.bindInterdomain(system.domain.id, PORT);
backend.takeEvents(); // binding sets one
backend.onEvent(theirs, () => {
  const sector = backend.memory.readU32(shared);
  backend.memory.writeBytes(shared + SECTOR_BYTES, new Uint8Array(SECTOR_BYTES).fill(0x10 + sector));
  backend.send(theirs);
});
backend.send(theirs);
const outcome = system.run({ maxInstructions: 1_000_000 });
console.log(system.console.trimEnd());
console.log(outcome.reason, outcome.shutdown, "- unmapped:", backend.unmapGrantRef(mapping.handle, shared));
