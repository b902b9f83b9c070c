//! Making, opening and saving models.

use std::{path::Path, sync::Arc};

use athanor_store::{Error, Result};
use athanor_tensor::{Device, Params, Tensor};
use serde_json::{Map, Value, json};

use super::{Model, prefix, variant};
use crate::{
    adapters::Adaptation,
    builder::{Builder, Built},
    config::Fields,
    families::{self, Family},
    folder,
    heads::{self, BESIDE, Head, HeadNetwork},
    left_over::LeftOver,
    parameter::{Role, SavedIn},
    sizes::Shape,
};

impl Model {
    /// A model with random parameters.
    ///
    /// # Errors
    /// Input, for sizes that do not fit each other.
    pub fn new(
        family: &'static Family,
        shape: &Shape,
        head: Head,
        seed: u64,
        device: Device,
    ) -> Result<Self> {
        Self::from_config(family, (family.config)(shape), head, seed, device)
    }

    /// A model with random parameters, of a config.json.
    ///
    /// # Errors
    /// Input, for a config that the family cannot be.
    pub fn from_config(
        family: &'static Family,
        config: Map<String, Value>,
        head: Head,
        seed: u64,
        device: Device,
    ) -> Result<Self> {
        let builder = Builder::random(device, prefix(family, head)?, seed);
        Self::assemble(family, config, head, builder)
    }

    /// Opens a Hugging Face folder (config.json, model.safetensors).
    ///
    /// # Errors
    /// Input, naming the file, and the key or tensor.
    pub fn load(dir: &Path, device: Device) -> Result<Self> {
        Self::load_from(dir, None, None, 0, device)
    }

    /// Opens the trunk of a folder under another head, which starts at random from `seed` unless the
    /// folder holds it.
    ///
    /// # Errors
    /// As [`Model::load`].
    pub fn load_with_head(dir: &Path, head: Head, seed: u64, device: Device) -> Result<Self> {
        Self::load_from(dir, Some(head), None, seed, device)
    }

    /// [`load_with_head`](Self::load_with_head) for a head with named scores. The folder's own head
    /// is taken only where it has the same names in the same order; else a new one starts at random.
    ///
    /// # Errors
    /// As [`Model::load`].
    pub fn load_labelled(
        dir: &Path,
        head: Head,
        labels: &[String],
        seed: u64,
        device: Device,
    ) -> Result<Self> {
        Self::load_from(dir, Some(head), Some(labels), seed, device)
    }

    fn load_from(
        dir: &Path,
        wanted: Option<Head>,
        labels: Option<&[String]>,
        seed: u64,
        device: Device,
    ) -> Result<Self> {
        let mut config = folder::read_config(dir)?;
        let at = |e: Error| e.at(dir.join("config.json").display());
        let family = families::by_model_type(Fields(&config).text("model_type", "").map_err(at)?)
            .map_err(at)?;
        let head = match wanted {
            Some(head) => head,
            None => family.head(&config).map_err(at)?,
        };
        let prefixes = [prefix(family, head).map_err(at)?, family.prefix];
        let tensors = folder::open_tensors(dir)?;
        let mut builder = Builder::loaded(device, prefixes, tensors, seed, wanted.is_none());
        if let Some(labels) = labels {
            if heads::names(&config).as_deref() != Some(labels) {
                builder.forget_head();
            }
            heads::set_names(&mut config, labels);
        }
        Self::assemble(family, config, head, builder).map_err(|e| e.at(dir.display()))
    }

    pub(super) fn assemble(
        family: &'static Family,
        mut config: Map<String, Value>,
        head: Head,
        mut builder: Builder,
    ) -> Result<Self> {
        let fields = Fields(&config);
        let model_type = fields.text("model_type", "")?.to_owned();
        let network = (family.build)(fields, &mut builder)?;
        let (variant, suffix) = (variant(family, head)?, family.suffix(head.kind()));
        let built = HeadNetwork::build(head, &variant, &*network, fields, &mut builder)?;
        let name = format!("{}{}", (family.class)(&model_type), suffix.unwrap_or_default());
        config.insert("architectures".into(), json!([name]));
        config.insert("dtype".into(), "float32".into());
        config.shift_remove("torch_dtype");
        head.write(&mut config);
        let device = builder.device();
        let Built { params, parameters, adapters, left_over, left_out } = builder.finish();
        Ok(Self {
            config,
            params,
            parameters,
            network,
            family,
            head: built,
            beside: Vec::new(),
            adaptation: None,
            adapters,
            left_over: LeftOver::of(left_over, left_out, family, head),
            device,
        })
    }

    /// Builds the network anew over parameters that are there already, on `device`, with these adapters or none; their
    /// new parameters start at random from `seed`.
    pub(super) fn over(
        &self,
        params: Params,
        device: Device,
        adaptation: Option<Arc<dyn Adaptation>>,
        seed: u64,
    ) -> Result<Self> {
        let head = self.head();
        let parts = (params, self.parameters.clone());
        let mut builder = Builder::existing(device, prefix(self.family, head)?, seed, parts);
        if let Some(adaptation) = &adaptation {
            builder = builder.adapted(Arc::clone(adaptation));
        }
        let mut model = Self::assemble(self.family, self.config.clone(), head, builder)?;
        for beside in &self.beside {
            model.put_beside(beside.head(), None)?;
        }
        model.adaptation = adaptation;
        model.left_over = self.left_over.clone();
        Ok(model)
    }

    /// Writes config.json, generation_config.json and model.safetensors into an existing folder, and a file for each
    /// head beside the model's own.
    ///
    /// # Errors
    /// Those of writing; Failed, if the model has adapters that were not merged.
    pub fn save(&self, dir: &Path) -> Result<()> {
        if self.parameters.iter().any(|p| p.role == Role::Adapter) {
            return Err(Error::failed("a model with adapters is saved after merging them"));
        }
        folder::write_tensors(&dir.join(folder::WEIGHTS), self.stored_in(SavedIn::Model))?;
        for beside in &self.beside {
            if let Some(file) = beside.head().kind().file {
                folder::write_tensors(&dir.join(file), self.stored_in(SavedIn::Beside(file)))?;
            }
        }
        folder::write_config(dir, &self.config)
    }

    fn stored_in(&self, file: SavedIn) -> impl Iterator<Item = (String, &Tensor)> {
        self.parameters()
            .filter(move |(_, known)| known.saved_in == file)
            .map(|(p, _)| (p.name.clone(), &p.value))
    }

    /// The same sizes on [`Device::Plan`], for a dry run that counts memory: weights count as there already.
    ///
    /// # Errors
    /// Input, if the configuration is not one.
    pub fn planned(&self) -> Result<Self> {
        self.over(self.params.planned(), Device::Plan, self.adaptation.clone(), 0)
    }

    /// Puts a head beside the model's own, for example [`Head::VALUE`]: the one that [`save`](Self::save) left in
    /// `dir`, or a new one.
    ///
    /// # Errors
    /// Input, for a head that cannot stand beside another, or a file that is not this head's.
    pub fn add_head(&mut self, head: Head, dir: Option<&Path>) -> Result<()> {
        let Some(file) = head.kind().file else {
            return Err(Error::input(format!("a {head:?} head cannot stand beside another")));
        };
        self.put_beside(head, dir.map(|d| d.join(file)).filter(|p| p.exists()).as_deref())
    }

    /// Adds the heads that [`save`](Self::save) left beside the model in `dir`.
    ///
    /// # Errors
    /// Those of [`add_head`](Self::add_head).
    pub fn add_saved_heads(&mut self, dir: &Path) -> Result<()> {
        for kind in BESIDE {
            if kind.file.is_some_and(|file| dir.join(file).is_file()) {
                self.add_head(Head::of(kind), Some(dir))?;
            }
        }
        Ok(())
    }

    fn put_beside(&mut self, head: Head, file: Option<&Path>) -> Result<()> {
        let tensors = file.map(folder::open_file).transpose()?;
        let parts = (self.params.clone(), self.parameters.clone());
        let stored = head.kind().file.map_or(SavedIn::Model, SavedIn::Beside);
        let mut builder = Builder::beside(self.device, parts, stored, tensors);
        let variant = variant(self.family, head)?;
        let fields = Fields(&self.config);
        let at = |e: Error| match file {
            Some(file) => e.at(file.display()),
            None => e,
        };
        let built = HeadNetwork::build(head, &variant, &*self.network, fields, &mut builder);
        self.beside.push(built.map_err(at)?);
        let Built { params, parameters, .. } = builder.finish();
        (self.params, self.parameters) = (params, parameters);
        Ok(())
    }
}
