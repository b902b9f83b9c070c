//! The encoder that BERT, RoBERTa and ELECTRA share: learned positions and token types, and blocks
//! with their norms behind the residual sums (Vaswani et al. 2017, section 5.4; Devlin et al. 2019).

use athanor_tensor::Ids;

use super::parts::*;
use crate::architecture::counted;

/// The first token's state through a dense layer of the trunk (Devlin et al. 2019, appendix A.1, call it C).
pub const POOLER: Layer = Layer::Pooler("pooler.dense", Activate::Fixed(Activation::Tanh));

/// A trunk with its pooler.
pub const POOLED: Variant = Variant::new(
    "bare",
    &[Stack { output: "pooler_output", readout: Readout::First, layers: &[POOLER], out: None }],
);

/// Scores of the whole row, by a single map behind these layers.
pub const fn classifier(layers: &'static [Layer], width: Width) -> Stack {
    Stack::new(Readout::First, layers, "classifier.weight", "classifier.bias", width)
}

/// Scores of labels as RoBERTa has them: a dense layer, and dropout before and after it.
pub const fn labels(layers: &'static [Layer]) -> Stack {
    let [weight, bias] = ["classifier.out_proj.weight", "classifier.out_proj.bias"];
    Stack::new(Readout::First, layers, weight, bias, Width::Labels)
}

/// Scores of the vocabulary; the bias has an older name in some files.
pub const fn tokens(
    layers: &'static [Layer],
    weight: &'static str,
    bias: [&'static str; 2],
) -> Stack {
    let out = Out { weight, bias: Some(bias), width: Width::Vocabulary, start: Start::Range };
    Stack { output: "logits", readout: Readout::Every, layers, out: Some(out) }
}

/// Where positions begin.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Positions {
    /// At 0.
    Zero,
    /// Behind the padding token's id; padding itself keeps that id as its position: fairseq's way.
    BehindPadding,
}

/// What a family's config.json may leave out.
pub struct Defaults {
    pub hidden: usize,
    pub heads: usize,
    pub inner: usize,
    pub vocabulary: usize,
    /// Width of the embeddings, where it is not always the hidden width.
    pub embedding: Option<usize>,
    pub padding: u32,
    pub positions: Positions,
}

/// BERT's and RoBERTa's.
pub const BASE: Defaults = Defaults {
    hidden: 768,
    heads: 12,
    inner: 3072,
    vocabulary: 30522,
    embedding: None,
    padding: 0,
    positions: Positions::Zero,
};

struct Block {
    attention: Attention,
    attention_norm: Norm,
    mlp: Mlp,
    mlp_norm: Norm,
}

pub struct Encoder {
    sizes: Sizes,
    tied: bool,
    positions: Positions,
    /// Rows of the tables of positions and of token types.
    position_rows: usize,
    type_rows: usize,
    /// Its embedding never learns.
    padding: Option<u32>,
    words: Embedding,
    places: Embedding,
    types: Embedding,
    norm: Norm,
    /// From the embeddings' width to the hidden width, where they differ.
    project: Option<Linear>,
    blocks: Vec<Block>,
}

/// Refuses what is not computed.
fn check(c: Fields<'_>) -> Result<()> {
    c.only("is_decoder", false)?;
    c.only("add_cross_attention", false)?;
    let kind = c.text("position_embedding_type", "absolute")?;
    if kind != "absolute" {
        return Err(Error::input(format!(
            "`position_embedding_type` is {kind:?}, only \"absolute\" is computed"
        )));
    }
    Ok(())
}

/// The token that pads.
fn padding(c: Fields<'_>, defaults: &Defaults, vocabulary: usize) -> Result<Option<u32>> {
    let padding = c.token("pad_token_id", Some(defaults.padding))?;
    match padding.filter(|&p| p as usize >= vocabulary) {
        Some(pad) => {
            Err(Error::input(format!("`pad_token_id` is {pad}, but `vocab_size` is {vocabulary}")))
        }
        None => Ok(padding),
    }
}

/// Sizes; the context is that of `rows` positions.
fn sizes(c: Fields<'_>, defaults: &Defaults, rows: usize) -> Result<Sizes> {
    let hidden = c.size("hidden_size", Some(defaults.hidden))?;
    let heads = c.size("num_attention_heads", Some(defaults.heads))?;
    if hidden % heads != 0 {
        return Err(Error::input(format!(
            "`hidden_size` {hidden} is not a multiple of `num_attention_heads` {heads}"
        )));
    }
    let vocabulary = c.size("vocab_size", Some(defaults.vocabulary))?;
    let padding = padding(c, defaults, vocabulary)?;
    Ok(Sizes {
        vocabulary,
        context: context(defaults.positions, rows, padding)?,
        hidden,
        layers: c.size("num_hidden_layers", Some(12))?,
        heads,
        kv_heads: heads,
        head_dim: hidden / heads,
    })
}

impl Block {
    fn declare(c: Fields<'_>, b: &mut Builder, defaults: &Defaults, sizes: &Sizes) -> Result<Self> {
        let &Sizes { hidden, heads, head_dim, .. } = sizes;
        let inner = c.size("intermediate_size", Some(defaults.inner))?;
        let epsilon = c.number("layer_norm_eps", 1e-12)? as f32;
        let std = Init::Normal(c.number("initializer_range", 0.02)? as f32);
        let map = |b: &mut Builder, name: &str, sizes: [usize; 2]| {
            LinearSpec::new(name, sizes, std).bias(true).declare(b)
        };
        let norm = |b: &mut Builder, name| Norm::layer(b, Owner::Trunk, name, hidden, epsilon);
        Ok(Self {
            attention: Attention {
                query: map(b, "attention.self.query", [hidden, hidden])?,
                key: map(b, "attention.self.key", [hidden, hidden])?,
                value: map(b, "attention.self.value", [hidden, hidden])?,
                output: map(b, "attention.output.dense", [hidden, hidden])?,
                norms: None,
                heads: [heads, heads],
                dim: head_dim,
                scale: 1.0 / (head_dim as f32).sqrt(),
                window: None,
            },
            attention_norm: norm(b, "attention.output.LayerNorm")?,
            mlp: Mlp {
                up: map(b, "intermediate.dense", [hidden, inner])?,
                down: map(b, "output.dense", [inner, hidden])?,
                activation: c.activation("hidden_act", "gelu")?,
            },
            mlp_norm: norm(b, "output.LayerNorm")?,
        })
    }
}

impl Encoder {
    /// Declares the parameters under the names of Hugging Face's BERT.
    pub fn build(c: Fields<'_>, b: &mut Builder, defaults: &Defaults) -> Result<Self> {
        check(c)?;
        let position_rows = c.size("max_position_embeddings", Some(512))?;
        let type_rows = c.size("type_vocab_size", Some(2))?;
        let sizes = sizes(c, defaults, position_rows)?;
        let Sizes { vocabulary, hidden, .. } = sizes;
        let width = match defaults.embedding {
            Some(width) => c.size("embedding_size", Some(width))?,
            None => hidden,
        };
        let epsilon = c.number("layer_norm_eps", 1e-12)? as f32;
        let std = Init::Normal(c.number("initializer_range", 0.02)? as f32);
        let words = Embedding::declare(b, "embeddings.word_embeddings", [vocabulary, width], std)?;
        let places =
            Embedding::declare(b, "embeddings.position_embeddings", [position_rows, width], std)?;
        let types =
            Embedding::declare(b, "embeddings.token_type_embeddings", [type_rows, width], std)?;
        let norm = Norm::layer(b, Owner::Trunk, "embeddings.LayerNorm", width, epsilon)?;
        let project = match width == hidden {
            true => None,
            false => {
                let map = LinearSpec::new("embeddings_project", [width, hidden], std);
                Some(map.bias(true).declare(b)?)
            }
        };
        let blocks =
            b.blocks("encoder.layer", sizes.layers, |b| Block::declare(c, b, defaults, &sizes))?;
        Ok(Self {
            sizes,
            tied: c.flag("tie_word_embeddings", true)?,
            positions: defaults.positions,
            position_rows,
            type_rows,
            padding: padding(c, defaults, vocabulary)?,
            words,
            places,
            types,
            norm,
            project,
            blocks,
        })
    }

    /// Sums of the three tables' rows, normalised, [batch, time, hidden]: of each token, or of those at `packed`
    /// only, [1, tokens, hidden].
    fn embed(&self, pass: &mut Pass<'_>, packed: Option<&[i32]>) -> Var {
        let (g, input) = (pass.graph, pass.input);
        let device = input.ids.device();
        let of = |all: &Ids| match packed {
            Some(tokens) => {
                let all = all.host();
                let some = tokens.iter().map(|&t| all[t as usize]).collect();
                Ids::new(device, some, [1, tokens.len()])
            }
            None => all.clone(),
        };
        let ids = of(&input.ids);
        let zeros = || Ids::new(device, vec![0; ids.len()], *ids.shape());
        let types = input.types.as_ref().map_or_else(zeros, of);
        let padding = self.padding.map(|p| p as i32);
        let word = self.words.apply_with_padding(g, &ids, padding);
        let typed = ops::add(&word, &self.types.apply(g, &types));
        let fixed = padding.filter(|_| self.positions == Positions::BehindPadding);
        let place = self.places.apply_with_padding(g, &of(&input.positions), fixed);
        let x = pass.drop(self.norm.add(g, &typed, &place).1);
        match &self.project {
            Some(project) => project.apply(g, &x),
            None => x,
        }
    }
}

/// The longest row.
fn context(positions: Positions, rows: usize, padding: Option<u32>) -> Result<usize> {
    match (positions, padding) {
        (Positions::Zero, _) => Ok(rows),
        (Positions::BehindPadding, Some(pad)) if rows > pad as usize + 1 => {
            Ok(rows - pad as usize - 1)
        }
        (Positions::BehindPadding, Some(pad)) => Err(Error::input(format!(
            "`max_position_embeddings` is {rows}, but positions begin behind `pad_token_id` {pad}"
        ))),
        (Positions::BehindPadding, None) => Err(Error::input(
            "`pad_token_id` is null, but positions are counted from behind the padding token",
        )),
    }
}

/// config.json for a shape, with what all three families have.
pub fn config(model_type: &str, shape: &Shape) -> Map<String, Value> {
    object(json!({
        "model_type": model_type,
        "vocab_size": shape.vocabulary,
        "max_position_embeddings": shape.context,
        "type_vocab_size": 2,
        "hidden_size": shape.hidden,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "intermediate_size": shape.intermediate,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "initializer_range": 0.02,
        "layer_norm_eps": 1e-12,
        "pad_token_id": 0,
        "tie_word_embeddings": shape.tied,
    }))
}

/// What a shape has that an encoder of this kind cannot be.
pub fn refuse(shape: &Shape) -> Option<&'static str> {
    let plain = !shape.qk_norm && shape.kv_heads == shape.heads;
    (!plain).then_some("an encoder of BERT's kind has neither grouped queries nor qk_norm")
}

impl Architecture for Encoder {
    fn sizes(&self) -> Sizes {
        self.sizes
    }

    fn forward(&self, pass: &mut Pass<'_>) -> Var {
        let (g, packed) = (pass.graph, pass.pack());
        let mut x = self.embed(pass, packed.as_deref());
        pass.note(&x);
        for (i, block) in self.blocks.iter().enumerate() {
            let attended = block.attention.apply(pass, i, &x, None);
            x = block.attention_norm.add(g, &pass.drop(attended), &x).1;
            let fed = pass.drop(block.mlp.apply(g, &x));
            x = block.mlp_norm.add(g, &fed, &x).1;
            pass.note(&x);
        }
        let Some(tokens) = packed else { return x };
        let (batch, time) = pass.input.sizes();
        let tokens = Ids::new(pass.input.ids.device(), tokens, [x.shape()[1]]);
        let whole = ops::spread_rows(&x, &tokens, batch * time);
        ops::reshape(&whole, [batch, time, self.sizes.hidden])
    }

    fn embeddings(&self) -> Vec<ParamId> {
        [self.words, self.places, self.types].map(|e| e.table()).to_vec()
    }

    fn tied(&self) -> bool {
        self.tied
    }

    fn causal(&self) -> bool {
        false
    }

    fn positions(&self, ids: &[i32], time: usize) -> Vec<i32> {
        let pad = match (self.positions, self.padding) {
            (Positions::BehindPadding, Some(pad)) => pad as i32,
            _ => return counted(ids.len(), time),
        };
        let mut positions = Vec::with_capacity(ids.len());
        for row in ids.chunks(time.max(1)) {
            let mut next = pad;
            positions.extend(row.iter().map(|&id| {
                next += i32::from(id != pad);
                if id == pad { pad } else { next }
            }));
        }
        positions
    }

    fn position_limit(&self) -> usize {
        self.position_rows
    }

    fn type_limit(&self) -> usize {
        self.type_rows
    }

    fn set_padding(&mut self, pad: u32) {
        self.padding = Some(pad);
        if let Ok(context) = context(self.positions, self.position_rows, self.padding) {
            self.sizes.context = context;
        }
    }
}
