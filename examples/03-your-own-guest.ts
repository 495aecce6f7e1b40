// A guest of your own, under every interface: event-channel notifications to oneself. Run with:
//   npx tsx --conditions=@hyperwalk/source examples/03-your-own-guest.ts
import { epyc9124 } from "@hyperwalk/cpu";
import { defineGuest } from "@hyperwalk/guest-sdk";
import { compare, programGuest } from "hyperwalk";

const notify = defineGuest("notify", (g) => {
  const port = g.hypercall.eventChannel.bindIpi({ vcpu: 0 }).output("port");
  const failed = g.variable(0);
  const send = (): void => {
    const result = g.hypercall.eventChannel.send({ port }).result();
    g.when(result, "l", 0, () => g.add(failed, 1));
    result.release();
  };
  g.repeat(64, send);
  const cycles = g.measure(() => g.repeat(g.iterations, send));
  g.print(`notify: abi=${g.abi} iterations=${g.iterations} cycles=`);
  g.printDecimal(cycles);
  g.print(" per-call=");
  g.printRatio(cycles, g.iterations);
  g.print(" failed=");
  g.printDecimal(failed);
  g.print("\n");
});

const document = compare({
  guest: programGuest(notify, ["evtchn_send"]),
  machine: epyc9124,
  operation: "evtchn_send",
  iterations: 1024,
});
for (const run of document.runs) console.log(run.console.trimEnd());
