//! A plan as a graph for Graphviz and Mermaid: what starts after what, wave by wave.
//!
//! Arrows point the way in which things start, from what is waited for to what waits. *Must not know* what draws them.

use std::fmt::Write as _;

use super::{
    Gate, GateOn, Plan, Unit, UnitId,
    forecast::{Forecast, rounded},
    render::{Shown, fate},
};

/// The plan in the DOT language of Graphviz: <https://graphviz.org/doc/info/lang.html>.
pub fn plan_dot(plan: &Plan, forecast: Option<&Forecast>) -> String {
    let graph = Graph::of(plan, forecast);
    let mut text = format!("digraph {} {{\n", dot_string(&plan.project));
    text.push_str("  rankdir=LR; compound=true; fontname=\"sans-serif\";\n");
    text.push_str("  node [shape=box, style=rounded, fontname=\"sans-serif\"];\n");
    text.push_str("  edge [fontname=\"sans-serif\", fontsize=10];\n");
    for node in &graph.nodes {
        let shape = if node.outside { ", shape=ellipse" } else { "" };
        let line = if node.critical { ", penwidth=3" } else { "" };
        let label = dot_string(&node.lines.join("\n"));
        put(&mut text, &format!("  {} [label={label}{shape}{line}];", dot_string(&node.id)));
    }
    for (index, wave) in graph.waves.iter().enumerate() {
        put(&mut text, &format!("  subgraph cluster_{index} {{"));
        put(&mut text, &format!("    label={};", dot_string(&wave.name)));
        let members: Vec<String> = wave.members.iter().map(|id| format!("{};", dot_string(id))).collect();
        put(&mut text, &format!("    {}", members.join(" ")));
        put(&mut text, "  }");
    }
    for edge in &graph.edges {
        let style = if edge.optional { ", style=dashed" } else { "" };
        let width = if edge.critical { ", penwidth=3" } else { "" };
        let (from, to, label) = (dot_string(&edge.from), dot_string(&edge.to), dot_string(&edge.label));
        put(&mut text, &format!("  {from} -> {to} [label={label}{style}{width}];"));
    }
    for (before, after) in graph.wave_edges() {
        let (Some(from), Some(to)) =
            (graph.waves[before].members.first(), graph.waves[after].members.first())
        else {
            continue;
        };
        let (from, to) = (dot_string(from), dot_string(to));
        put(
            &mut text,
            &format!("  {from} -> {to} [ltail=cluster_{before}, lhead=cluster_{after}, style=bold];"),
        );
    }
    text.push_str("}\n");
    text
}

/// The plan as a Mermaid flowchart: <https://mermaid.js.org/syntax/flowchart.html>.
pub fn plan_mermaid(plan: &Plan, forecast: Option<&Forecast>) -> String {
    let graph = Graph::of(plan, forecast);
    // Names may be words of the language: nodes go by number.
    let number = |id: &str| graph.nodes.iter().position(|node| node.id == id).unwrap_or(0);
    let node = |id: &str| {
        let node = &graph.nodes[number(id)];
        let lines: Vec<String> = node.lines.iter().map(|line| mermaid_text(line)).collect();
        let (open, close) = if node.outside { ("([", "])") } else { ("[", "]") };
        format!("n{}{open}\"{}\"{close}", number(id), lines.join("<br/>"))
    };
    let mut text = "flowchart LR\n".to_owned();
    for (index, wave) in graph.waves.iter().enumerate() {
        put(&mut text, &format!("  subgraph w{index} [\"{}\"]", mermaid_text(&wave.name)));
        for id in &wave.members {
            put(&mut text, &format!("    {}", node(id)));
        }
        put(&mut text, "  end");
    }
    let in_wave = |id: &String| graph.waves.iter().any(|wave| wave.members.contains(id));
    for free in graph.nodes.iter().filter(|node| !in_wave(&node.id)) {
        put(&mut text, &format!("  {}", node(&free.id)));
    }
    for edge in &graph.edges {
        let arrow = match (edge.critical, edge.optional) {
            (true, _) => "==>",
            (false, true) => "-.->",
            (false, false) => "-->",
        };
        let (from, to) = (number(&edge.from), number(&edge.to));
        put(&mut text, &format!("  n{from} {arrow}|\"{}\"| n{to}", mermaid_text(&edge.label)));
    }
    for (before, after) in graph.wave_edges() {
        put(&mut text, &format!("  w{before} ==> w{after}"));
    }
    let critical: Vec<String> = graph
        .nodes
        .iter()
        .filter(|node| node.critical)
        .map(|node| format!("n{}", number(&node.id)))
        .collect();
    if !critical.is_empty() {
        put(&mut text, "  classDef critical stroke-width:3px");
        put(&mut text, &format!("  class {} critical", critical.join(",")));
    }
    text
}

/// What is drawn.
struct Graph {
    nodes: Vec<Node>,
    waves: Vec<Cluster>,
    edges: Vec<Edge>,
}

/// A service, or something outside the project.
struct Node {
    id: String,
    lines: Vec<String>,
    outside: bool,
    /// On the critical path.
    critical: bool,
}

/// A wave and its services.
struct Cluster {
    name: String,
    members: Vec<String>,
}

/// What waits for what, and until it is what.
struct Edge {
    from: String,
    to: String,
    label: String,
    optional: bool,
    critical: bool,
}

impl Graph {
    fn of(plan: &Plan, forecast: Option<&Forecast>) -> Self {
        let shown = Shown::new(plan);
        let name = |unit: &UnitId| plan.units[unit.index()].service.clone();
        let on_path = |unit: &UnitId| forecast.is_some_and(|f| f.critical.contains(&name(unit)));
        let takes = |unit: &Unit| forecast.and_then(|f| f.takes(&unit.service));
        let mut graph = Self { nodes: Vec::new(), waves: Vec::new(), edges: Vec::new() };
        for (id, unit) in plan.ids() {
            let mut lines = vec![unit.service.clone(), fates(&shown, unit)];
            lines.extend(takes(unit).map(|takes| format!("about {}", rounded(takes))));
            lines.retain(|line| !line.is_empty());
            let node = Node { id: unit.service.clone(), lines, outside: false, critical: on_path(&id) };
            graph.nodes.push(node);
        }
        let members = |units: &[UnitId]| units.iter().map(name).collect();
        graph.waves =
            plan.waves.iter().map(|w| Cluster { name: w.name.clone(), members: members(&w.units) }).collect();
        for (id, unit) in plan.ids() {
            for gate in &unit.gates {
                let Some((from, label)) = graph.source(plan, gate) else { continue };
                let after = forecast.and_then(|f| f.services.get(&unit.service)?.after.as_ref());
                let critical = on_path(&id) && gate.on.unit().is_some_and(|on| Some(&name(&on)) == after);
                let (to, optional) = (unit.service.clone(), !gate.required);
                graph.edges.push(Edge { from, to, label, optional, critical });
            }
        }
        graph
    }

    /// What a gate waits for; `None` for the order of waves.
    fn source(&mut self, plan: &Plan, gate: &Gate) -> Option<(String, String)> {
        let label = match &gate.on {
            GateOn::Started(_) => "started".to_owned(),
            GateOn::Ready(_) => "ready".to_owned(),
            GateOn::Completed(_) => "completed".to_owned(),
            GateOn::Stage(_, stage) => stage.clone(),
            GateOn::Wave(_) => return None,
            GateOn::Outside { name, .. } => {
                // A service cannot have such a name.
                let id = format!("outside:{name}");
                if !self.nodes.iter().any(|node| node.id == id) {
                    let lines = vec![name.clone()];
                    self.nodes.push(Node { id: id.clone(), lines, outside: true, critical: false });
                }
                return Some((id, "answers".to_owned()));
            }
        };
        Some((plan.units[gate.on.unit()?.index()].service.clone(), label))
    }

    /// Waves that have services, each with the next that has.
    fn wave_edges(&self) -> Vec<(usize, usize)> {
        let filled: Vec<usize> =
            (0..self.waves.len()).filter(|&index| !self.waves[index].members.is_empty()).collect();
        filled.windows(2).map(|pair| (pair[0], pair[1])).collect()
    }
}

/// What becomes of a unit's containers: `create`, `2 keep, 1 create`.
fn fates(shown: &Shown<'_>, unit: &Unit) -> String {
    let mut counted: Vec<(&str, usize)> = Vec::new();
    for replica in &unit.replicas {
        let word = fate(shown, unit, replica).0.word();
        match counted.iter_mut().find(|(known, _)| *known == word) {
            Some((_, number)) => *number += 1,
            None => counted.push((word, 1)),
        }
    }
    let words: Vec<String> = match counted.as_slice() {
        [(word, 1)] => vec![(*word).to_owned()],
        many => many.iter().map(|(word, number)| format!("{number} {word}")).collect(),
    };
    words.join(", ")
}

fn put(text: &mut String, line: &str) {
    writeln!(text, "{line}").expect("writing to a String cannot fail");
}

fn dot_string(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("\"{escaped}\"")
}

/// Text within a quoted label: entities keep quotes and tags from being read.
fn mermaid_text(text: &str) -> String {
    text.replace('#', "#35;")
        .replace('"', "#quot;")
        .replace('<', "#lt;")
        .replace('>', "#gt;")
        .replace('\n', " ")
}
