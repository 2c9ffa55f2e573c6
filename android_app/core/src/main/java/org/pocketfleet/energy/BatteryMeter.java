package org.pocketfleet.energy;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.function.BooleanSupplier;

/**
 * Joules from the battery's own gauge, read by a thread while an interval lasts. It gives a figure
 * only where it can stand for it: not while charging, and not from a gauge that is silent, stuck or
 * contradicts its own charge counter.
 */
public final class BatteryMeter implements EnergyMeter {
  /** What is kept to judge the unit by: at one reading a second, a little over an hour. */
  private static final int MOST_HISTORY = 4096;

  private static final int LEAST_IDLE = 3;

  private final BatterySensor sensor;
  private final long periodMs;
  private final List<BatterySample> history = new ArrayList<>();
  private List<BatterySample> interval = new ArrayList<>();
  private List<BatterySample> idle = Collections.emptyList();
  private Thread thread;
  private volatile String problem = "nothing was measured yet";

  /**
   * Makes a meter.
   *
   * @param sensor the gauge
   * @param periodMs milliseconds between readings; gauges give a new figure once a second at best
   */
  public BatteryMeter(BatterySensor sensor, long periodMs) {
    this.sensor = sensor;
    this.periodMs = periodMs;
  }

  @Override
  public synchronized void start() {
    abandon();
    interval = new ArrayList<>();
    List<BatterySample> mine = interval;
    take(mine);
    Thread reader = new Thread(() -> sample(mine), "battery-meter");
    reader.setDaemon(true);
    thread = reader;
    reader.start();
  }

  @Override
  public synchronized Energy stop() {
    abandon();
    take(interval);
    remember(interval);
    CurrentCalibration calibration = CurrentCalibration.of(history);
    BatteryFigure figure = BatteryFigure.of(interval, calibration, median(idle, calibration));
    problem = figure.problem();
    if (figure.unitChanged()) {
      history.clear();
      idle = Collections.emptyList();
    }
    return figure.energy();
  }

  @Override
  public synchronized void measureIdle(double seconds, BooleanSupplier enough) {
    List<BatterySample> samples = new ArrayList<>();
    take(samples);
    long readings = Math.round(seconds * 1000 / periodMs);
    boolean useful = samples.get(0).usable() && !samples.get(0).charging();
    try {
      for (long taken = 0; useful && taken < readings && !enough.getAsBoolean(); taken++) {
        Thread.sleep(periodMs);
        take(samples);
      }
    } catch (InterruptedException stopped) {
      Thread.currentThread().interrupt();
    }
    idle = samples;
    remember(samples);
  }

  /** Median power of readings, in watts; NaN: too few say anything. */
  private static double median(List<BatterySample> samples, CurrentCalibration calibration) {
    List<Double> watts = new ArrayList<>();
    for (BatterySample sample : samples) {
      double power = calibration.watts(sample);
      if (!Double.isNaN(power)) {
        watts.add(power);
      }
    }
    Collections.sort(watts);
    return watts.size() < LEAST_IDLE ? Double.NaN : watts.get(watts.size() / 2);
  }

  /** Why the last interval has no figure, in words; null if it has one. */
  public String problem() {
    return problem;
  }

  private void sample(List<BatterySample> into) {
    try {
      while (true) {
        Thread.sleep(periodMs);
        take(into);
      }
    } catch (InterruptedException stopped) {
      Thread.currentThread().interrupt();
    }
  }

  private void take(List<BatterySample> into) {
    BatterySample sample = sensor.read();
    synchronized (into) {
      into.add(sample);
    }
  }

  /** Ends the reading thread, if there is one, and waits for its last reading. */
  private void abandon() {
    if (thread == null) {
      return;
    }
    thread.interrupt();
    boolean interrupted = false;
    while (thread.isAlive()) {
      try {
        thread.join();
      } catch (InterruptedException again) {
        interrupted = true;
      }
    }
    thread = null;
    if (interrupted) {
      Thread.currentThread().interrupt();
    }
  }

  /** Keeps the latest readings taken while discharging; a change of power begins anew. */
  private void remember(List<BatterySample> samples) {
    for (BatterySample sample : samples) {
      if (sample.charging()) {
        history.clear();
      } else {
        history.add(sample);
      }
    }
    if (history.size() > MOST_HISTORY) {
      history.subList(0, history.size() - MOST_HISTORY).clear();
    }
  }
}
