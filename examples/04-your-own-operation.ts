// An operation that Xen does not have, from a description and one handler, called by a guest through two interfaces. Run with:
//   npx tsx --conditions=@hyperwalk/source examples/04-your-own-operation.ts
import { epyc9124 } from "@hyperwalk/cpu";
import { defineGuest } from "@hyperwalk/guest-sdk";
import { createXenSystem, Errno, ownOperation } from "@hyperwalk/xen";
import { describeOperations, loadAbi } from "@hyperwalk/xen/abi-loader";

const description = `
name: memory_sum
hypercall_index: 64
doc: Arithmetic on the guest's own memory.

structs:
  memory_sum:
    bytes: 24
    fields:
      address: { offset: 0, type: u64 }
      words: { offset: 8, type: u32 }
      sum: { offset: 16, type: u64 }

subops:
  add_up:
    index: 0
    doc: Adds up 32-bit words at a guest-physical address, at most 16 of them.
    input: { address: 2, words: 3 }
    output: { sum: 4 }
    errors: [EFAULT, EINVAL]
    c_lang: { struct: memory_sum }
`;
const [addUp] = describeOperations(loadAbi(description, "memory_sum.yml"), "memory_sum.yml");

const operation = ownOperation(addUp, (own) => {
  const { domain } = own.call;
  const address = Number(own.input("address"));
  const words = Number(own.input("words"));
  if (words > 16) return -Errno.EINVAL;
  let sum = 0;
  for (let at = address; at < address + 4 * words; at += 4) {
    const frame = domain.p2m.lookup(Math.floor(at / 4096)); // priced; the page stays referenced
    if (frame < 0) return -Errno.EFAULT;
    sum += domain.guestMemory.readU32(at);
    domain.p2m.putPage(frame);
  }
  own.output("sum", sum);
  return 0;
});

const guest = defineGuest("adder", (g) => {
  // Sixteen words of the guest's own image, which lies at 2 MiB.
  const sum = g.call(addUp, { address: 0x200000, words: 16 }).output("sum");
  const tooMany = g.call(addUp, { address: 0x200000, words: 17 }).result();
  g.print(`${g.abi}: sum=`);
  g.printHex(sum);
  g.when(tooMany, "e", -Errno.EINVAL, () => g.print(" EINVAL"));
  const cycles = g.measure(() => g.repeat(64, () => g.call(addUp, { address: 0x200000, words: 1 })));
  g.print(" cycles=");
  g.printRatio(cycles, 64);
  g.print("\n");
});

for (const abi of ["linear", "fastabi"] as const) {
  const system = createXenSystem({
    profile: epyc9124,
    domain: { image: guest.build({ abi, vendor: "amd" }), memoryBytes: 64 * 2 ** 20, abi },
    operations: [operation],
  });
  system.run();
  console.log(system.console.trimEnd());
}
