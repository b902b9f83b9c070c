//! The stage: from a policy, rewards and an environment to a better policy.

use athanor_generation::{Sampling, generate, text::stops};
use athanor_models::{Head, Model};
use athanor_store::{
    Done, Figure, Input, Result, Stage, StageKind, Work,
    figures::{ACCURACY, LOSS, MARGIN, Memory, ReinforceSummary, Training},
};
use athanor_tensor::pool_stats;
use athanor_text::{ChatTemplate, Message, Tokenizer, encode_prompt};
use athanor_training::{
    Figures, Sample, StageContext, SystemMemory, Task, Trainer, fit, load_tokenizer, load_writer,
    save_model, say_left_over,
};

use crate::{
    algorithms::{
        Method, Online,
        direct::{
            Direct,
            task::{Comparisons, Preferences},
        },
    },
    environments::{Part, Setup},
    evaluate::Evaluator,
    iterate::iterate,
    rewards::{self, Rewards},
    rollout::Generator,
    section::ReinforceSection,
};

/// The stage's entry.
pub const STAGE: StageKind = StageKind::of::<Reinforce>();

struct Reinforce;

impl Stage for Reinforce {
    type Section = ReinforceSection;
    type Summary = ReinforceSummary;
    const ABOUT: &'static str = "Improve the model by reinforcement learning";

    fn inputs(section: &ReinforceSection) -> Vec<Input> {
        let mut all = vec![Input::model("model", section.model.as_deref(), "finetune")];
        all.extend(section.files().into_iter().map(|(key, path)| Input::file(&key, &key, path)));
        all.extend(rewards::inputs(&section.rewards()));
        all
    }

    fn work(work: &Work<'_, ReinforceSection>) -> Result<Done<ReinforceSummary>> {
        let Work { run, section, .. } = work;
        let context = StageContext::of(work)?;
        let folder = work.place("model");
        let policy = load_writer(folder, context.device())?;
        say_left_over(&*run.console, folder, &policy);
        let tokenizer = load_tokenizer(folder, &policy)?;
        let template = ChatTemplate::load(folder).unwrap_or_default();
        let reference = Model::load(folder, context.device())?;
        let stage = Improvement { work, context: &context, reference, tokenizer, template };
        match (section.algorithm.entry()?.open)(&section.algorithm) {
            Method::Online(mut algorithm) => stage.online(policy, &mut *algorithm),
            Method::Direct(method) => stage.direct(policy, &*method),
        }
    }
}

/// What every method works with.
struct Improvement<'a> {
    work: &'a Work<'a, ReinforceSection>,
    context: &'a StageContext<'a>,
    /// The policy as it was.
    reference: Model,
    tokenizer: Tokenizer,
    template: ChatTemplate,
}

impl Improvement<'_> {
    fn sampling(&self) -> Sampling {
        Sampling {
            temperature: self.work.section.temperature,
            max_new_tokens: self.work.section.max_new_tokens,
            ..Sampling::default()
        }
    }

    /// Learns from what the policy writes.
    fn online(
        &self,
        mut policy: Model,
        algorithm: &mut dyn Online,
    ) -> Result<Done<ReinforceSummary>> {
        let (section, run, needs) = (&self.work.section, self.work.run, algorithm.needs());
        if needs.values {
            policy.add_head(Head::VALUE, Some(self.work.place("model")))?;
        }
        let place = |input: &str| self.work.place(input).to_owned();
        let device = self.context.device();
        let rewards = Rewards::open(&section.rewards(), &self.tokenizer, device, &place)?;
        // The token that closes a turn comes behind one that was cut off.
        let judges = rewards.models().into_iter().map(|m| m.sizes().context - 1).min();
        let longest = policy.sizes().context.min(judges.unwrap_or(usize::MAX));
        let setup = Setup {
            run,
            choice: &section.environment,
            tokenizer: &self.tokenizer,
            template: &self.template,
            longest,
            max_new_tokens: section.max_new_tokens,
            heldout_per_thousand: section.heldout_per_thousand,
            heldout: section.train.evaluate.items,
            prompts: &section.prompts,
            sample_prompts: &section.sample_prompts,
        };
        let environment = (section.environment.entry()?.open)(&setup)?;
        let generator = Generator {
            environment: &*environment,
            tokenizer: &self.tokenizer,
            template: &self.template,
            stops: &stops(&self.tokenizer),
            sampling: self.sampling(),
            longest,
        };
        let heldout = environment.examples(Part::Heldout).min(section.train.evaluate.items);
        let reference = &self.reference;
        let mut evaluator = Evaluator { generator, reference, rewards, seed: run.seed, heldout };
        let (train, steps) = (&section.train, section.train.steps);
        let minibatch = train.batch_size * train.accumulate;
        let updates = steps * (section.answers / minibatch * needs.epochs) as u64;
        let mut trainer = Trainer::open(self.context, train, policy, steps, updates)?;
        let own = iterate(&mut trainer, section, &mut evaluator, algorithm)?;
        let value = |figure: Option<f64>| figure.unwrap_or(f64::NAN);
        let last_word = format!(
            "held-out reward {:+.3} → {:+.3} at {:.1} nats",
            value(own.reward_before),
            value(own.reward_after),
            value(own.kl)
        );
        self.finish(trainer, own, &last_word)
    }

    /// Learns from fixed comparisons.
    fn direct(&self, policy: Model, method: &dyn Direct) -> Result<Done<ReinforceSummary>> {
        let (section, run) = (&self.work.section, self.work.run);
        let mut judged = Vec::new();
        for source in &section.preferences {
            judged.extend(source.read(&run.recipe, section.heldout_per_thousand as u32)?);
        }
        let (tokenizer, template) = (&self.tokenizer, &self.template);
        let (confidence, longest) = (section.preference_confidence, policy.sizes().context);
        let console = &*run.console;
        let mut preferences =
            Preferences::new(&judged, confidence, tokenizer, template, longest, console)?;
        preferences.measure(&self.reference);
        let prompts = section
            .sample_prompts
            .iter()
            .map(|p| encode_prompt(tokenizer, template, &[Message::user(p)]))
            .collect::<Result<Vec<_>>>()?;
        let (ends, sampling) = (stops(tokenizer), self.sampling());
        let sample = |model: &Model| {
            let written = generate(model, &prompts, &ends, &sampling, run.seed)?;
            let texts = section.sample_prompts.iter().zip(written);
            texts
                .map(|(prompt, c)| {
                    let text = tokenizer.decode(&c.tokens)?;
                    Ok(Sample { prompt: prompt.clone(), text, reward: None })
                })
                .collect()
        };
        let (train, steps) = (&section.train, section.train.steps);
        let mut task = Comparisons::new(method, &preferences, train, run.seed, sample);
        let before = task.evaluate(&policy)?;
        let mut trainer = Trainer::open(self.context, train, policy, steps, steps)?;
        let after = fit(&mut trainer, &mut task)?;
        let value = |all: &Figures, figure: &Figure| {
            all.iter().find(|(n, _)| *n == figure.name).map_or(f64::NAN, |(_, v)| *v)
        };
        let (loss, accuracy) = (value(&after, &LOSS), value(&after, &ACCURACY));
        let own = ReinforceSummary {
            heldout_loss_before: Some(value(&before, &LOSS)),
            heldout_loss: Some(loss),
            heldout_accuracy: Some(accuracy),
            heldout_margin: Some(value(&after, &MARGIN)),
            ..ReinforceSummary::default()
        };
        let last_word = format!("held-out loss {loss:.4}, accuracy {:.1} %", 100.0 * accuracy);
        self.finish(trainer, own, &last_word)
    }

    /// Writes the model; `own` are the fields of summary.json that only this way of learning has.
    fn finish(
        &self,
        trainer: Trainer<'_>,
        own: ReinforceSummary,
        last_word: &str,
    ) -> Result<Done<ReinforceSummary>> {
        let seconds = trainer.seconds();
        let summary = ReinforceSummary {
            training: Training {
                seconds: Some(seconds),
                parameters: Some(trainer.model.params.count() as u64),
                tokens: Some(trainer.tokens()),
            },
            memory: Memory {
                expected_memory_bytes: trainer.memory().map(|m| m.total()),
                resident_memory_bytes: SystemMemory::peak(),
                peak_memory_bytes: Some(pool_stats().peak as u64),
            },
            ..own
        };
        let mut model = trainer.close(last_word)?;
        let path = self.context.folder.path("model");
        save_model(&path, &mut model, &self.tokenizer, Some(&self.template))?;
        Ok(Done { seconds, summary })
    }
}
