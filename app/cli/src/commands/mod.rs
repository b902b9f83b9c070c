//! The commands: one file each, with one line in the registry below; stages' commands follow from
//! athanor-lab's registry of stages.

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use athanor_lab::stages::STAGES;
use athanor_store::Result;

use crate::{
    bugs::AfterBug,
    context::{Context, Globals},
};

/// What a parsed command line asks for.
pub type Action = Box<dyn FnOnce(&Context) -> Result<()>>;

macro_rules! commands {
    ($($name:ident = $module:ident),+; after a bug these go on: $($lasting:ident),+) => {
        $(mod $module;)+
        mod stage;

        #[derive(Subcommand)]
        enum Command {
            $($name($module::Args)),+
        }

        impl Command {
            fn action(self) -> Action {
                match self {
                    $(Self::$name(args) => Box::new(move |context| $module::run(context, args))),+
                }
            }

            fn after_bug(&self) -> AfterBug {
                match self {
                    $(Self::$lasting(_) => AfterBug::GoOn,)+
                    _ => AfterBug::Exit,
                }
            }
        }
    };
}

commands! {
    Demo = demo,
    Run = run,
    // The stages come here in the help.
    Compare = compare,
    Tokenizer = tokenizer,
    Eval = eval,
    Generate = generate,
    Chat = chat,
    Predict = predict,
    Fill = fill,
    Embed = embed,
    Forward = forward,
    Import = import,
    Export = export,
    Tokenize = tokenize,
    Inspect = inspect,
    Report = report,
    Recipe = recipe,
    Bench = bench;
    after a bug these go on: Chat
}

/// How many of the commands are before the stages in the help.
const BEFORE_STAGES: usize = 2;

/// Raw text to an aligned language model, in stages: corpus, pretrain, finetune, reward, reinforce.
#[derive(Parser)]
#[command(
    name = "athanor",
    version,
    about,
    arg_required_else_help = true,
    after_help = "\
Examples:
  athanor demo                                 all stages on the embedded data
  athanor run recipes/demo.toml                all stages that a recipe names
  athanor chat runs/demo                       talk to the result
  athanor recipe > my.toml                     every key of a recipe, with its default
  athanor help generate                        more about one command

Exit codes: 0 done, 1 failed, 2 bad input, 130 interrupted."
)]
struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Command,
}

/// Reads the command line; for `--help`, `--version` and usage errors (exit code 2) it does not
/// return.
pub fn parse() -> (Context, Action) {
    let mut cli = Cli::command();
    let names: Vec<String> = cli.get_subcommands().map(|c| c.get_name().to_owned()).collect();
    for (i, name) in names.into_iter().enumerate() {
        let place = if i < BEFORE_STAGES { i } else { i + STAGES.iter().len() };
        cli = cli.mut_subcommand(name, |c| c.display_order(place));
    }
    for (i, stage) in STAGES.iter().enumerate() {
        let command = clap::Command::new(stage.name);
        cli = cli.subcommand(
            stage::Args::augment_args(command)
                .about(stage.about)
                .long_about(format!("{}: the recipe's [{}]", stage.about, stage.name))
                .display_order(BEFORE_STAGES + i),
        );
    }
    let matches = cli.get_matches();
    let parsed = (|| {
        let globals = Globals::from_arg_matches(&matches)?;
        let stage =
            matches.subcommand().and_then(|(name, found)| Some((STAGES.find(name).ok()?, found)));
        let (action, after_bug): (Action, _) = match stage {
            Some((stage, found)) => {
                let args = stage::Args::from_arg_matches(found)?;
                (Box::new(move |context| stage::run(context, stage, args)), AfterBug::default())
            }
            None => {
                let command = Cli::from_arg_matches(&matches)?.command;
                let after_bug = command.after_bug();
                (command.action(), after_bug)
            }
        };
        Ok((Context::new(&globals, after_bug), action))
    })();
    parsed.unwrap_or_else(|e: clap::Error| e.exit())
}
