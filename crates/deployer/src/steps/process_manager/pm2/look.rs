//! A look at what PM2 runs of a deployment, and at whether it will run after a boot. Nothing is started, not even PM2's daemon.
//!
//! What should run is what was saved for the next boot: the ecosystem file is a program, and a look runs none.

use super::home::Home;
use super::{Applications, Scene};
use crate::base::names::UnitName;
use crate::process::step_context::StepContext;
use crate::process::step_user;
use crate::process::tools::pm2::{self, Pm2Process, marks};
use crate::process::tools::systemctl::{self, UnitState};
use crate::steps::finding::Finding;
use anyhow::Result;
use std::collections::BTreeSet;

impl Applications {
    pub async fn look(&self, step_context: &StepContext<'_>) -> Result<Vec<Finding>> {
        let home = Home::of(self, step_context)?;
        let unit = self.boot_unit(step_context);
        let boot = unit_state(&unit, step_context).await;
        let saved = pm2::saved(&home.saved(step_context).await);
        let is_served = home.is_served(step_context).await?;
        let scene = Scene {
            of: self,
            home,
            step_context: *step_context,
            lasting: step_context.environment.clone(),
            of_release: self.of_release(step_context.environment),
        };
        let mut findings = Vec::new();
        if is_served {
            let processes = scene.processes().await?;
            findings.extend(self.of_processes(&saved, &processes));
        } else {
            findings.push(Finding::ProcessesDown {
                what: format!("the PM2 daemon of {} does not run", self.whose(step_context)),
                mend: format!(
                    "`durhack-deployer deploy {} --force` starts it, and its applications",
                    self.deployment
                ),
            });
        }
        let own = |process: &&Pm2Process| self.owner().owns(process);
        if is_served && findings.is_empty() && !saved.iter().any(|process| own(&process)) {
            findings.push(Finding::NotAtBoot {
                what: "PM2 has not saved its applications: after a boot it starts none of them".into(),
                mend: format!("`durhack-deployer deploy {} --force` saves them", self.deployment),
            });
        }
        findings.extend(self.of_boot(&unit, boot.as_ref(), step_context));
        Ok(findings)
    }

    /// The unit that starts PM2 at boot: of the package for a user of the deployment's own, else the one that `pm2 startup` makes.
    fn boot_unit(&self, step_context: &StepContext<'_>) -> String {
        match &self.user {
            Some(user) => step_user::pm2_unit(user),
            None => format!("pm2-{}.service", self.whose(step_context)),
        }
    }

    fn whose(&self, step_context: &StepContext<'_>) -> String {
        let ours = || step_context.variable("USER").or_else(|| step_context.variable("LOGNAME"));
        self.user.as_ref().map(ToString::to_string).or_else(ours).unwrap_or_else(|| "root".into())
    }

    fn of_boot(
        &self,
        unit: &str,
        state: Option<&UnitState>,
        step_context: &StepContext<'_>,
    ) -> Option<Finding> {
        let state = state?;
        if state.is_known && state.is_enabled {
            return None;
        }
        let mend = match (&self.user, state.is_known) {
            (Some(_), _) | (None, true) => format!("`sudo systemctl enable {unit}`"),
            (None, false) => {
                let home = step_context.variable("HOME").unwrap_or_default();
                format!(
                    "`sudo env PATH=\"$PATH\" pm2 startup systemd -u {} --hp {home}` makes and enables {unit}",
                    self.whose(step_context)
                )
            }
        };
        Some(Finding::NotAtBoot {
            what: format!("{unit} is not enabled: after a boot PM2 starts nothing"),
            mend,
        })
    }

    fn of_processes(&self, saved: &[Pm2Process], processes: &[Pm2Process]) -> Option<Finding> {
        let own: Vec<&Pm2Process> =
            processes.iter().filter(|process| self.owner().owns(process) && process.id.is_some()).collect();
        let mend = format!("`durhack-deployer deploy {} --force` starts it", self.deployment);
        let down = |what: String| Finding::ProcessesDown { what, mend: mend.clone() };
        let there: BTreeSet<&str> = own.iter().map(|process| process.name.as_str()).collect();
        let wanted = saved.iter().filter(|process| self.owner().owns(process));
        if let Some(missing) = wanted.map(|process| process.name.as_str()).find(|name| !there.contains(name))
        {
            return Some(down(format!("PM2 does not run {missing}")));
        }
        if own.is_empty() {
            return Some(down("PM2 runs none of its applications".into()));
        }
        for process in own {
            let (name, status) = (&process.name, &process.kept.status);
            if !process.is_online() && !process.is_scheduled() && !process.is_dormant() {
                return Some(down(format!("{name} is {status} in PM2")));
            }
            let release = process.variable(marks::RELEASE);
            if self.release != self.through && release.is_some_and(|release| release != self.release_name) {
                return Some(Finding::ProcessesElsewhere {
                    what: format!("{name} was started for another release: {}", release.unwrap_or_default()),
                });
            }
        }
        None
    }
}

/// What systemd says of a unit; None where there is no systemd.
async fn unit_state(unit: &str, step_context: &StepContext<'_>) -> Option<UnitState> {
    let unit = UnitName::parse(unit).ok()?;
    let printed = step_context.look_as_deployer(&systemctl::show(false, &[unit])).await.ok()?;
    systemctl::states(&printed).into_iter().next()
}
