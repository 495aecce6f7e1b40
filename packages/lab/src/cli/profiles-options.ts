import type { Command } from "commander";
import type { Output } from "./output.js";
import type { ProfilesOptions } from "./profiles-command.js";
import { JSON_OPTION } from "./simulation-options.js";

const ID = "a machine's id, or the path of a profile file";

/** Adds `profiles` and its commands. @param exit given the exit code of the one that ran */
export function registerProfiles(program: Command, output: Output, exit: (code: number) => void): void {
  const list = async (options: ProfilesOptions) => {
    const { profilesCommand } = await import("./profiles-command.js");
    exit(profilesCommand(options, output));
  };
  const profiles = program
    .command("profiles")
    .description("list the machines, show and compare their numbers, check a profile of one's own")
    .option(...JSON_OPTION)
    .action(list);
  // `profiles list --json` is the same option, which commander gives to the outer command.
  const given = (options: ProfilesOptions): ProfilesOptions => ({ ...profiles.opts(), ...options });
  profiles
    .command("list")
    .description("the machines there are")
    .option(...JSON_OPTION)
    .action((options: ProfilesOptions) => list(given(options)));
  profiles
    .command("show")
    .description("every number of one machine, with its provenance")
    .argument("<id>", ID)
    .option(...JSON_OPTION)
    .action(async (id: string, options: ProfilesOptions) => {
      const { profilesShowCommand } = await import("./profiles-command.js");
      exit(await profilesShowCommand(id, given(options), output));
    });
  profiles
    .command("check")
    .description(
      "whether a machine holds together; exit code 1 when it contradicts itself, 2 when the file is no profile",
    )
    .argument("<id>", ID)
    .option(...JSON_OPTION)
    .action(async (id: string, options: ProfilesOptions) => {
      const { profilesCheckCommand } = await import("./profiles-command.js");
      exit(await profilesCheckCommand(id, given(options), output));
    });
  profiles
    .command("diff")
    .description("numbers that two machines do not have in common, with both provenances")
    .argument("<a>", ID)
    .argument("<b>", ID)
    .option(...JSON_OPTION)
    .action(async (a: string, b: string, options: ProfilesOptions) => {
      const { profilesDiffCommand } = await import("./profiles-command.js");
      exit(await profilesDiffCommand(a, b, given(options), output));
    });
}
