//! The pages under test, made by the program itself.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

/// Pages and the documents whose numbers they show.
pub(crate) struct Pages {
    folder: tempfile::TempDir,
    /// A plan of one step, its page, and all its data.
    pub plan: Value,
    pub report: Value,
}

impl Pages {
    pub(crate) fn make() -> Self {
        let mut pages =
            Self { folder: tempfile::tempdir().expect("a folder for pages"), plan: Value::Null, report: Value::Null };
        pages.remat("plan unet-b8 --budget 60% --optimizer adamw-foreach -o plan.json");
        let one = "report unet-b8 --plan plan.json --optimizer adamw-foreach --resolution 10%";
        pages.remat(&format!("{one} -o one.html"));
        pages.remat(&format!("{one} -o one.json"));
        // The widest: long names, many regions, several graphs and plans.
        let many = "report llama-lora-b4-s1024-bf16 resnet18-b64 --algorithm chen --algorithm every --no-frontier";
        pages.remat(&format!("{many} -o many.html"));
        pages.remat("report unet-b8 --nesting 2 --algorithm interval --no-frontier -o nested.html");
        let read = |name: &str| std::fs::read_to_string(pages.path(name)).expect("read");
        let parse = |name: &str| serde_json::from_str(&read(name)).expect("JSON");
        (pages.plan, pages.report) = (parse("plan.json"), parse("one.json"));
        pages
    }

    /// One step under one plan.
    pub(crate) fn one(&self) -> PathBuf {
        self.path("one.html")
    }

    /// Several steps under several plans.
    pub(crate) fn many(&self) -> PathBuf {
        self.path("many.html")
    }

    /// One step under a plan whose regions nest.
    pub(crate) fn nested(&self) -> PathBuf {
        self.path("nested.html")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn remat(&self, arguments: &str) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_remat"));
        let done = command.args(arguments.split(' ')).current_dir(self.folder.path()).status().expect("remat runs");
        assert!(done.success(), "remat {arguments}");
    }
}
