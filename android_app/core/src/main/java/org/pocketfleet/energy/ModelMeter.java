package org.pocketfleet.energy;

import java.util.Locale;
import org.pocketfleet.ProcessUse;
import org.pocketfleet.Stopwatch;

/** A labelled guess: idle power over wall time, and power per busy core over CPU time. */
public final class ModelMeter implements EnergyMeter {
  private final double idleW;
  private final double busyWPerCore;
  private final String source;
  private final Stopwatch wall;
  private final Stopwatch cpu;
  private double wallStart;
  private double cpuStart;

  /**
   * Makes a meter.
   *
   * @param idleW power of the device that does nothing, in watts
   * @param busyWPerCore what a busy core adds, in watts
   * @param source where the two figures come from, in words
   */
  public ModelMeter(double idleW, double busyWPerCore, String source) {
    this(idleW, busyWPerCore, source, Stopwatch.WALL, ProcessUse.CPU);
  }

  ModelMeter(double idleW, double busyWPerCore, String source, Stopwatch wall, Stopwatch cpu) {
    this.idleW = idleW;
    this.busyWPerCore = busyWPerCore;
    this.source = source;
    this.wall = wall;
    this.cpu = cpu;
  }

  /**
   * A meter for a device of which nothing is known. The figures are an assumption, not a
   * measurement: see {@code device_profiles/catalog/generic.toml}.
   */
  public static ModelMeter generic() {
    return new ModelMeter(
        1.0, 1.5, "assumption; see the comment in device_profiles/catalog/generic.toml");
  }

  @Override
  public void start() {
    wallStart = wall.seconds();
    cpuStart = cpu.seconds();
  }

  @Override
  public Energy stop() {
    double wallS = wall.seconds() - wallStart;
    double cpuS = cpu.seconds() - cpuStart;
    if (Double.isNaN(cpuS)) {
      return null;
    }
    double idleJ = idleW * wallS;
    return new Energy(
        idleJ + busyWPerCore * cpuS,
        idleJ,
        "modelled",
        String.format(
            Locale.ROOT, "CPU time × %s W per core + %s W idle (%s)", busyWPerCore, idleW, source),
        "device");
  }
}
