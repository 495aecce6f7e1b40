import type { DoorbellHandlerName } from "@hyperwalk/xen";
import {
  PUBLISHED_STATEMENT,
  PUBLISHED_TRANSPORTS,
  type PublishedNotification,
  type PublishedTransports,
} from "../../published-transports.js";
import type { TransportHost, TransportName } from "../../transport-names.js";
import type { Experiments } from "../experiments.js";
import type { Prediction, ValidationFigure } from "../figure.js";

/** What ratios are asked of; the one machine whose measurements under KVM are modelled. */
const MACHINE = "skylake-sp";
/** Its measurements among those published. */
const OWN = "Xeon Platinum 8160";
/** Prices that the profile has from the same publication; no total of it, and no ratio. */
const FROM_OWN = ["timing.ibpb", "timing.l1dFlush", "timing.vmexit", "timing.vmentry", "timing.movCr3"];

type Like = NonNullable<PublishedNotification["like"]>;

/** Cycles of one notification. */
function cyclesOf(experiments: Experiments, host: TransportHost, { handler, transport }: Like): Prediction {
  const { results, estimates } = experiments.transports(MACHINE);
  const found = results.find(
    (each) => each.host === host && each.handler === handler && each.transport === transport,
  );
  return { value: found?.cyclesPerNotification ?? Number.NaN, estimates };
}

function ratio(experiments: Experiments, host: TransportHost, of: Like, to: Like): Prediction {
  const { value, estimates } = cyclesOf(experiments, host, of);
  return { value: value / cyclesOf(experiments, host, to).value, estimates };
}

/** Of each publication the figures that something here is like, to the first of them. */
function ratiosOf({
  machine,
  hypervisor,
  host,
  figures,
  mark,
  source,
}: PublishedTransports): ValidationFigure[] {
  const [base, ...others] = figures;
  const to = base.like;
  if (to === undefined) return [];
  return others.flatMap(({ what, value, like }): ValidationFigure[] =>
    like === undefined
      ? []
      : [
          {
            id: `notification/${machine}/${what}`,
            what: `${what}, to ${base.what}`,
            where: `${machine}; ${hypervisor}`,
            asked: `${MACHINE}: ${like.transport} to ${like.handler}, to ${to.transport} to ${to.handler}`,
            published: value / base.value,
            unit: "ratio",
            mark,
            source,
            likeness: machine.startsWith(OWN) ? "same" : "far",
            calibrated: machine.startsWith(OWN) ? FROM_OWN : [],
            predict: (experiments) => ratio(experiments, host, like, to),
          },
        ],
  );
}

const own = PUBLISHED_TRANSPORTS.find(({ machine }) => machine.startsWith(OWN));

/** In cycles, where the machine is the one that was measured. */
const absolute = (own?.figures ?? []).flatMap(({ what, value, like }): ValidationFigure[] =>
  own === undefined || like === undefined || like.handler !== "user-space"
    ? []
    : [
        {
          id: `notification/${own.machine}/${what}/cycles`,
          what: `${what}, cycles`,
          where: `${own.machine}; ${own.hypervisor}`,
          asked: `${MACHINE}: ${like.transport} to ${like.handler}`,
          published: value,
          unit: "cycles",
          mark: own.mark,
          source: `${own.source}; a real monitor does more around an exit than the model's`,
          likeness: "same",
          calibrated: FROM_OWN,
          predict: (experiments) => cyclesOf(experiments, "kvm", like),
        },
      ],
);

const FAST_MMIO: readonly Like[] = (["mmio-fast", "pio"] as const).map((transport: TransportName) => ({
  handler: "ioeventfd" as DoorbellHandlerName,
  transport,
}));

const fastMmio: ValidationFigure = {
  id: "notification/fast-mmio",
  what: `${PUBLISHED_STATEMENT.statement}; taken as a ratio of 0.9 to 1.1`,
  where: "KVM on VMX",
  asked: `${MACHINE}: mmio-fast, to pio, both to ioeventfd`,
  published: [0.9, 1.1],
  unit: "ratio",
  mark: PUBLISHED_STATEMENT.mark,
  source: `${PUBLISHED_STATEMENT.source}; a statement without figures`,
  likeness: "far",
  calibrated: [],
  predict: (experiments) => ratio(experiments, "kvm", FAST_MMIO[0], FAST_MMIO[1]),
};

/** Ways to notify a device. */
export const NOTIFICATION_FIGURES: readonly ValidationFigure[] = [
  ...PUBLISHED_TRANSPORTS.flatMap(ratiosOf),
  fastMmio,
  ...absolute,
];
