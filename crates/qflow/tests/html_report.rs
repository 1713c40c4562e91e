//! The HTML report: whole, escaped, self-contained; and shown by a browser, where there is one.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::{self, Net, calibration, images};
use qflow::accuracy::{HtmlReport, Measure, rank_sensitivity};
use qflow::{QConfig, calibrate, fuse_all, prepare};
use qnn::{DeQuantStub, Linear, QuantStub, Sequential};

fn report() -> HtmlReport {
    let mut net = Net::new();
    fuse_all(&mut net, &images(0)).unwrap();
    prepare(&mut net, QConfig::x86()).unwrap();
    calibrate(&net, calibration()).unwrap();
    let samples = [images(100), images(101)];
    let ranking = rank_sensitivity(&mut net, &mut Measure::new(&samples)).unwrap();
    let report = HtmlReport::gather(&mut net, &samples, "Net <in> int8 & \"float\"").unwrap();
    // The model is calibrated as before.
    qflow::convert(&mut net).unwrap();
    report.with_sensitivity(&ranking)
}

#[test]
fn the_page_is_whole_and_needs_nothing_beside_itself() {
    let page = report().html().unwrap();
    for heading in [
        "Size and time",
        "Error of each place",
        "What each place costs",
        "Activations",
        "Conversion",
    ] {
        assert!(page.contains(&format!("<h2>{heading}</h2>")), "{heading}");
    }
    // Two charts, and one histogram each for quant, conv1, conv2, add, fc1, fc2; each with its text alternative.
    let count = |what: &str| page.matches(what).count();
    assert_eq!((count("<svg "), count("</svg>")), (8, 8));
    assert_eq!(count("<svg role=\"img\" aria-label=\""), 8);
    assert_eq!(count("Histogram of the activations of conv1: from "), 1);
    for place in ["quant", "conv1", "add", "pool", "fc2"] {
        assert!(page.contains(&format!("<td>{place}</td>")), "{place}");
    }
    assert!(page.contains("Net &lt;in&gt; int8 &amp; &quot;float&quot;"));
    assert!(!page.contains("<in>"));
    // Nothing is fetched: the only addresses are names of XML namespaces.
    for outside in ["<script", "<link", "<img", " src=", "url(", "@import"] {
        assert!(!page.contains(outside), "{outside}");
    }
    let addresses = page.matches("http").count();
    assert_eq!(
        addresses,
        page.matches("xmlns=\"http://www.w3.org/2000/svg\"").count()
    );
    // Drawn in the page's own colour of text.
    assert!(page.contains("currentColor") && !page.contains("#010203"));
    assert!(page.contains("prefers-color-scheme: dark"));
}

#[test]
fn names_from_outside_stay_text() {
    let name = "<script>alert('&')</script>\u{1}";
    let mut net = Sequential::new()
        .push(QuantStub)
        .push_named(name, Linear::new(4, 2).unwrap())
        .unwrap()
        .push(DeQuantStub);
    let samples = [common::batch(1, &[3, 4])];
    prepare(&mut net, QConfig::x86()).unwrap();
    calibrate(&net, samples.clone()).unwrap();
    let page = HtmlReport::gather(&mut net, &samples, name)
        .unwrap()
        .html()
        .unwrap();
    assert!(!page.contains("<script") && !page.contains('\u{1}'));
    assert!(page.contains("&lt;script&gt;alert(&#39;&amp;&#39;)&lt;/script&gt;"));
}

#[test]
fn the_file_is_written_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("report.html");
    report().save(&path).unwrap();
    let page = std::fs::read_to_string(&path).unwrap();
    assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>\n"));
    let error = report()
        .save(folder.path().join("nowhere/report.html"))
        .unwrap_err();
    assert!(error.to_string().contains("nowhere"), "{error}");
    let files = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(files, 1);
}

/// The first of the usual browsers on the path of programs.
fn browser() -> Option<PathBuf> {
    let names = ["chromium", "chromium-browser", "google-chrome", "chrome"];
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders)
        .flat_map(|folder| names.map(|name| folder.join(name)))
        .find(|program| program.is_file())
}

fn dom(browser: &Path, page: &Path, profile: &Path) -> String {
    let output = Command::new(browser)
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-background-networking",
        ])
        .args([
            "--disable-component-update",
            "--no-first-run",
            "--disable-dev-shm-usage",
        ])
        .arg(format!("--user-data-dir={}", profile.display()))
        .arg("--dump-dom")
        .arg(format!("file://{}", page.display()))
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_browser_shows_every_chart_and_table() {
    let Some(browser) = browser() else {
        println!("a_browser_shows_every_chart_and_table: skipped, no Chromium is installed");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("report.html");
    report().save(&path).unwrap();
    let dom = dom(&browser, &path, &folder.path().join("profile"));
    // What the parser made of the page: nothing is cut off, moved or left open.
    assert!(
        dom.contains("<title>Net &lt;in&gt; int8 &amp; \"float\"</title>"),
        "{dom:.2000}"
    );
    assert_eq!(dom.matches("<svg ").count(), 8);
    assert_eq!(dom.matches("<table>").count(), 2);
    assert!(dom.trim_end().ends_with("</html>"));
    let charts = dom.matches("<rect ").count();
    assert!(charts > 50, "{charts} bars");
}
