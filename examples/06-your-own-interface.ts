// A hypercall interface that Xen does not have: bit 29 of the number says that pointers are guest-physical. Run with:
//   npx tsx --conditions=@hyperwalk/source examples/06-your-own-interface.ts
import { epyc9124 } from "@hyperwalk/cpu";
import { defineGuest, physicalAddress, rax, rdi, rdx, rsi } from "@hyperwalk/guest-sdk";
import {
  createXenSystem,
  type DomainAbi,
  type HypercallArguments,
  LinearAbi,
  type Operation,
  PointerAbi,
} from "@hyperwalk/xen";

const BIT = 0x20000000;

class BitAbi extends PointerAbi {
  readonly id = "bit-29";

  override claims(number: number): boolean {
    return (number & BIT) !== 0;
  }

  override decodeFrom(number: number, from: HypercallArguments): Operation | undefined {
    return super.decodeFrom(number & ~BIT, from);
  }
}

const mine: DomainAbi = {
  name: "mine",
  pointers: "linear",
  cpuidFeatures: 1 << 15,
  make: ({ operations, registers, linear, physical, cost }) => [
    new BitAbi(operations, registers, physical, cost),
    new LinearAbi(operations, registers, linear, cost),
  ],
};

const guest = defineGuest("own-interface", (g) => {
  const buffer = g.buffer(64);
  g.asm.mov(rax, BIT | 24); // vcpu_op
  g.asm.mov(rdi, 4); // get_runstate_info
  g.asm.mov(rsi, 0); // of vCPU 0
  g.asm.mov(rdx, physicalAddress(buffer.label));
  g.asm.plain("vmmcall");
  const result = g.variable(0);
  g.asm.mov(result.register, rax);
  g.print("result ");
  g.printDecimal(result);
  g.print("\n");
});

const system = createXenSystem({
  profile: epyc9124,
  domain: { image: guest.build({ abi: "linear", vendor: "amd" }), memoryBytes: 64 * 2 ** 20, abi: mine },
});
system.on("hypercall", ({ abi, operation, result }) => {
  if (abi === "bit-29") console.log(`${operation} through ${abi}: ${result}`);
});
system.run();
console.log(system.console);
