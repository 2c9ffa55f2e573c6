package org.pocketfleet.readiness;

import java.util.EnumMap;
import java.util.Locale;
import java.util.Map;

/**
 * Under which conditions a device works. The thresholds have two sides: what was refused at 30 % is
 * allowed again at 35 %, so that a device on the edge does not begin and give up in turns.
 */
public final class ReadinessPolicy {
  /** Charging, on an unmetered network, cool, not in use: what a phone's owner would not notice. */
  public static final ReadinessPolicy DEFAULT = new Builder().build();

  private static final double BATTERY_MARGIN_PERCENT = 5;
  private static final double TEMPERATURE_MARGIN_C = 2;
  private static final double STORAGE_MARGIN = 1.1;

  private final boolean chargingOnly;
  private final boolean unmeteredOnly;
  private final boolean idleOnly;
  private final boolean respectBatterySaver;
  private final double minBatteryPercent;
  private final double maxBatteryTemperatureC;
  private final int maxThermalStatus;
  private final long minFreeBytes;

  private ReadinessPolicy(Builder builder) {
    chargingOnly = builder.chargingOnly;
    unmeteredOnly = builder.unmeteredOnly;
    idleOnly = builder.idleOnly;
    respectBatterySaver = builder.respectBatterySaver;
    minBatteryPercent = builder.minBatteryPercent;
    maxBatteryTemperatureC = builder.maxBatteryTemperatureC;
    maxThermalStatus = builder.maxThermalStatus;
    minFreeBytes = builder.minFreeBytes;
  }

  /** Whether the device has to be charging. */
  public boolean chargingOnly() {
    return chargingOnly;
  }

  /** Whether the network has to be unmetered. */
  public boolean unmeteredOnly() {
    return unmeteredOnly;
  }

  /** Whether nobody may be using the device. */
  public boolean idleOnly() {
    return idleOnly;
  }

  /**
   * Judges conditions.
   *
   * @param now what the device is like
   * @param before the last decision, whose objections are lifted only with some margin
   */
  public Decision decide(Conditions now, Decision before) {
    Map<Reason, String> reasons = new EnumMap<>(Reason.class);
    power(now, before, reasons);
    heat(now, before, reasons);
    if (!now.online()) {
      reasons.put(Reason.OFFLINE, "there is no network");
    } else if (unmeteredOnly && !now.unmetered()) {
      reasons.put(Reason.METERED, "the network is metered");
    }
    if (idleOnly && now.interactive()) {
      reasons.put(Reason.IN_USE, "someone is using the device");
    }
    double minFree =
        minFreeBytes * (before.reasons().contains(Reason.STORAGE_LOW) ? STORAGE_MARGIN : 1);
    if (now.freeBytes() >= 0 && now.freeBytes() < minFree) {
      reasons.put(
          Reason.STORAGE_LOW,
          text(
              "%d MB of storage are free, %.0f are needed",
              now.freeBytes() >> 20, minFree / (1 << 20)));
    }
    return reasons.isEmpty() ? Decision.ALLOWED : new Decision(reasons);
  }

  private void power(Conditions now, Decision before, Map<Reason, String> reasons) {
    if (chargingOnly && !now.charging()) {
      reasons.put(Reason.NOT_CHARGING, "the device is not charging");
    }
    if (respectBatterySaver && now.batterySaver()) {
      reasons.put(Reason.BATTERY_SAVER, "battery saver is on");
    }
    double min = minBatteryPercent + margin(before, Reason.BATTERY_LOW, BATTERY_MARGIN_PERCENT);
    // A full battery ends every refusal, even where the threshold is close to 100.
    if (now.batteryPercent() < Math.min(min, 100)) {
      reasons.put(
          Reason.BATTERY_LOW,
          text("the battery is at %.0f %%, below %.0f %%", now.batteryPercent(), min));
    }
  }

  private void heat(Conditions now, Decision before, Map<Reason, String> reasons) {
    double max = maxBatteryTemperatureC - margin(before, Reason.BATTERY_HOT, TEMPERATURE_MARGIN_C);
    if (now.batteryTemperatureC() > max) {
      reasons.put(
          Reason.BATTERY_HOT,
          text("the battery has %.1f °C, above %.0f °C", now.batteryTemperatureC(), max));
    }
    double maxStatus = maxThermalStatus - margin(before, Reason.DEVICE_HOT, 1);
    if (now.thermalStatus() > Math.max(maxStatus, 0)) {
      reasons.put(
          Reason.DEVICE_HOT,
          text("the device is too hot (thermal status %d of 6)", now.thermalStatus()));
    }
  }

  private static double margin(Decision before, Reason reason, double margin) {
    return before.reasons().contains(reason) ? margin : 0;
  }

  private static String text(String format, Object... values) {
    return String.format(Locale.ROOT, format, values);
  }

  /** Collects thresholds, beginning with the defaults. */
  public static final class Builder {
    private boolean chargingOnly = true;
    private boolean unmeteredOnly = true;
    private boolean idleOnly = false;
    private boolean respectBatterySaver = true;
    private double minBatteryPercent = 30;
    private double maxBatteryTemperatureC = 40;
    private int maxThermalStatus = 2;
    private long minFreeBytes = 200L << 20;

    /** Whether the device has to be charging (default: yes). */
    public Builder chargingOnly(boolean yes) {
      chargingOnly = yes;
      return this;
    }

    /** Whether the network has to be unmetered (default: yes). */
    public Builder unmeteredOnly(boolean yes) {
      unmeteredOnly = yes;
      return this;
    }

    /** Whether nobody may be using the device (default: no). */
    public Builder idleOnly(boolean yes) {
      idleOnly = yes;
      return this;
    }

    /** Whether battery saver stops the work (default: yes). */
    public Builder respectBatterySaver(boolean yes) {
      respectBatterySaver = yes;
      return this;
    }

    /** Least charge in percent (default: 30). */
    public Builder minBatteryPercent(double percent) {
      if (!(percent >= 0 && percent <= 100)) {
        throw new IllegalArgumentException("least charge of " + percent + " %: it may be 0 to 100");
      }
      minBatteryPercent = percent;
      return this;
    }

    /** Highest temperature of the battery in degrees Celsius (default: 40). */
    public Builder maxBatteryTemperatureC(double degrees) {
      maxBatteryTemperatureC = degrees;
      return this;
    }

    /** Highest thermal status, 0 to 6 (default: 2, moderate). */
    public Builder maxThermalStatus(int status) {
      maxThermalStatus = status;
      return this;
    }

    /** Least free storage in bytes (default: 200 MiB). */
    public Builder minFreeBytes(long bytes) {
      minFreeBytes = bytes;
      return this;
    }

    /** Makes the policy. */
    public ReadinessPolicy build() {
      return new ReadinessPolicy(this);
    }
  }
}
