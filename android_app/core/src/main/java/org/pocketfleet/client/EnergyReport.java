package org.pocketfleet.client;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Paths;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.pocketfleet.energy.BatteryState;
import org.pocketfleet.energy.Energy;
import org.pocketfleet.energy.Phases;
import org.pocketfleet.message.Records;

/**
 * What a reply says of joules and of the conditions they were used under. One source speaks for all
 * phases of a reply: a figure of another method than the task's own is left out, and that is said.
 */
final class EnergyReport {
  private static final double NOT_KNOWN = -1;
  private static final String GOVERNOR_FILE =
      "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor";

  private final Map<String, Object> metrics = new LinkedHashMap<>();
  private final Map<String, Object> info = new LinkedHashMap<>();
  private final List<String> flags = new ArrayList<>();

  private EnergyReport() {}

  /**
   * The report of a task that was done.
   *
   * @param phases what has used which joules since the last report; they are forgotten
   * @param own the task's own phase
   * @param before the battery as the task began
   * @param settings what tells the battery now
   */
  static EnergyReport of(Phases phases, String own, BatteryState before, WorkerSettings settings) {
    EnergyReport report = new EnergyReport();
    Energy energy = phases.take(own);
    String method = energy == null ? "none" : energy.method();
    if (energy != null) {
      report.flags.addAll(energy.flags());
    }
    report.figures(energy, Records.ENERGY);
    report.other(phases, Phases.DOWNLOAD, Records.DOWNLOAD_ENERGY, method);
    report.other(phases, Phases.WAIT, Records.WAIT_ENERGY, method);
    report.other(phases, Phases.UPLOAD, Records.PREVIOUS_UPLOAD_ENERGY, method);
    BatteryState now = settings.battery();
    report.put(Records.TEMPERATURE_START_C, before.temperatureC());
    report.put(Records.TEMPERATURE_END_C, now.temperatureC());
    report.put(Records.BATTERY_START_PERCENT, before.percent());
    report.put(Records.BATTERY_END_PERCENT, now.percent());
    if (energy == null) {
      report.info.put(Records.ENERGY_METHOD, method);
      report.info.put(
          Records.ENERGY_SOURCE,
          phases.metered()
              ? "the energy source failed during this interval"
              : "this client has no energy source");
      report.info.put(Records.ENERGY_COVERS, "");
      report.info.put(Records.ENERGY_FLAGS, String.join("\n", report.flags));
    } else {
      report.words(energy);
    }
    report.info.put(Records.TEMPERATURE_SOURCE, "battery");
    report.info.put(Records.GOVERNOR, governor());
    report.info.put(Records.BUILD, settings.build());
    return report;
  }

  /**
   * The report of the last upload alone, which a query may ask for; empty where it is not known.
   *
   * @param phases what has used which joules; the upload's are forgotten
   */
  static EnergyReport ofUpload(Phases phases) {
    EnergyReport report = new EnergyReport();
    Energy energy = phases.take(Phases.UPLOAD);
    if (energy != null) {
      report.figures(energy, Records.PREVIOUS_UPLOAD_ENERGY);
      report.flag(Phases.UPLOAD, energy);
      report.words(energy);
    }
    return report;
  }

  /** Figures, for a reply's metrics. */
  Map<String, Object> metrics() {
    return metrics;
  }

  /** Words, for a reply's info. */
  Map<String, Object> info() {
    return info;
  }

  private void other(Phases phases, String phase, String name, String method) {
    Energy energy = phases.take(phase);
    boolean alike = energy != null && energy.method().equals(method);
    if (energy != null && !alike) {
      flags.add(phase + ": left out, as it was " + energy.method());
    }
    if (alike) {
      flag(phase, energy);
    }
    figures(alike ? energy : null, name);
  }

  private void figures(Energy energy, String name) {
    put(name + Records.GROSS_J, energy == null ? Double.NaN : energy.grossJ());
    put(name + Records.IDLE_J, energy == null ? Double.NaN : energy.idleJ());
    put(name + Records.RATE_HZ, energy == null ? Double.NaN : energy.rateHz());
    put(name + Records.COVERAGE, energy == null ? Double.NaN : energy.coverage());
    // Neither a gauge's maker nor a profile says how far their figures may be off.
    put(name + Records.UNCERTAINTY_J, Double.NaN);
  }

  /** A metric cannot be absent, nor NaN. */
  private void put(String name, double value) {
    metrics.put(name, Double.isNaN(value) ? NOT_KNOWN : value);
  }

  private void flag(String phase, Energy energy) {
    for (String flag : energy.flags()) {
      flags.add(phase + ": " + flag);
    }
  }

  private void words(Energy energy) {
    info.put(Records.ENERGY_METHOD, energy.method());
    info.put(Records.ENERGY_SOURCE, energy.source());
    info.put(Records.ENERGY_COVERS, energy.covers());
    info.put(Records.ENERGY_FLAGS, String.join("\n", flags));
  }

  /** What governs the processor's clock; empty where the system does not tell. */
  private static String governor() {
    try {
      byte[] name = Files.readAllBytes(Paths.get(GOVERNOR_FILE));
      return new String(name, StandardCharsets.US_ASCII).trim();
    } catch (IOException | SecurityException notTold) {
      return "";
    }
  }
}
