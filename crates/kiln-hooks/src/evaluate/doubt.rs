//! Doubt: where one way of a condition that is not known leaves a loop, a function or the script, and the other goes on.
//!
//! Nothing that comes then is certain to happen, until the two ways meet again: at the end of the loop, of the function, of
//! the subshell. What both agree in there is known; a way that ends the script is never met again.

use std::rc::Rc;

use super::{Evaluator, Flow};
use crate::state::State;
use crate::value::{Status, Value};

/// How far a way leaves what is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reach {
    Loop,
    Function,
    Script,
}

impl Reach {
    pub(super) fn of(flow: Flow) -> Self {
        match flow {
            Flow::Next | Flow::Break | Flow::Continue => Self::Loop,
            Flow::Return => Self::Function,
            Flow::Exit(_) => Self::Script,
        }
    }
}

/// That what is followed may not happen.
#[derive(Debug, Clone)]
pub(crate) struct Doubt {
    /// Why.
    pub why: Rc<str>,
    reach: Reach,
    /// What held where the other way left.
    state: Rc<State>,
    captured: Vec<Value>,
}

impl Evaluator<'_> {
    pub(super) fn begin_doubt(&mut self, why: &Rc<str>, reach: Reach) {
        if let Some(doubt) = &mut self.state.doubt {
            doubt.reach = doubt.reach.max(reach);
            return;
        }
        let (state, captured) = (Rc::new(self.state.clone()), self.captured.clone());
        self.state.doubt = Some(Doubt { why: Rc::clone(why), reach, state, captured });
    }

    /// Follows something whose end all ways meet at that go no further than `reach`.
    pub(super) fn until_met(&mut self, reach: Reach, inner: impl FnOnce(&mut Self) -> Flow) -> Flow {
        let doubted = self.state.doubt.is_some();
        let flow = inner(self);
        if doubted || matches!(flow, Flow::Exit(_)) && reach < Reach::Script {
            return flow;
        }
        let Some(doubt) = self.state.doubt.take_if(|doubt| doubt.reach <= reach) else { return flow };
        let there = &doubt.state;
        // What cannot be joined stays in doubt.
        if !there.effects.lasts_as(&self.state.effects) || there.directory != self.state.directory {
            self.state.doubt = Some(Doubt { reach: Reach::Script, ..doubt });
            return flow;
        }
        self.state.join(there, &doubt.why);
        if doubt.reach == Reach::Script {
            // How the way ended that left is not kept.
            self.state.status = Status::Unknown(Rc::clone(&doubt.why));
        }
        for (here, there) in self.captured.iter_mut().zip(&doubt.captured) {
            if here != there {
                *here = Value::Unknown(Rc::clone(&doubt.why));
            }
        }
        flow
    }
}
