import * as x from "@hyperwalk/xen";
import { runKind } from "./kinds.js";
import { severalVcpus } from "./several.js";

const P = x.XenSystem.prototype as any;
const run = P.run;
const ends: Record<string, number> = {};
const exits: Record<string, number> = {};
let started = 0,
  runs = 0,
  ins = 0;
P.run = function (b: any) {
  const o = run.call(this, b);
  const c = this.counters();
  runs++;
  ins += c.guestInstructions;
  ends[o.reason + (o.budget ?? o.shutdown ?? "")] =
    (ends[o.reason + (o.budget ?? o.shutdown ?? "")] ?? 0) + 1;
  started += this.vcpus.filter((v: any) => v.pcpu.processor.engine.instructions > 50).length;
  for (const e of this.hypercallAccounts()) exits[e.name] = (exits[e.name] ?? 0) + e.count;
  return o;
};
let bad = 0;
const t0 = Date.now();
let n = Number(process.argv[3] ?? 0);
for (; Date.now() - t0 < Number(process.argv[2]) * 1000; n++) {
  const t = Date.now();
  const r = runKind(severalVcpus, 77, n);
  if (Date.now() - t > 5000) console.log("slow", n, Date.now() - t);
  if (r !== undefined) {
    console.log(n, r);
    if (++bad > 3) break;
  }
}
console.log(n, ends, started / runs, ins / runs, exits);
