package org.pocketfleet.readiness;

/**
 * What a device is like at one moment. What it does not tell is unknown, and never an objection.
 */
public final class Conditions {
  /** A temperature or a percentage that the device does not tell. */
  public static final double UNKNOWN = Double.NaN;

  private final double batteryPercent;
  private final boolean charging;
  private final double batteryTemperatureC;
  private final int thermalStatus;
  private final boolean online;
  private final boolean unmetered;
  private final boolean interactive;
  private final boolean batterySaver;
  private final long freeBytes;

  private Conditions(Builder builder) {
    batteryPercent = builder.batteryPercent;
    charging = builder.charging;
    batteryTemperatureC = builder.batteryTemperatureC;
    thermalStatus = builder.thermalStatus;
    online = builder.online;
    unmetered = builder.unmetered;
    interactive = builder.interactive;
    batterySaver = builder.batterySaver;
    freeBytes = builder.freeBytes;
  }

  /** Charge of the battery, 0 to 100; NaN: not known, or there is no battery. */
  public double batteryPercent() {
    return batteryPercent;
  }

  /** Whether power comes from outside. */
  public boolean charging() {
    return charging;
  }

  /** Temperature of the battery in degrees Celsius; NaN: not known. */
  public double batteryTemperatureC() {
    return batteryTemperatureC;
  }

  /** Android's thermal status: 0 (none) to 6 (shutdown); -1: not known. */
  public int thermalStatus() {
    return thermalStatus;
  }

  /** Whether there is a network at all. */
  public boolean online() {
    return online;
  }

  /** Whether the network costs nothing by the byte. */
  public boolean unmetered() {
    return unmetered;
  }

  /** Whether someone seems to be using the device. */
  public boolean interactive() {
    return interactive;
  }

  /** Whether the person has asked the device to save power. */
  public boolean batterySaver() {
    return batterySaver;
  }

  /** Bytes that the client may still write; -1: not known. */
  public long freeBytes() {
    return freeBytes;
  }

  /** Collects what is known. What is not set: no battery figures, no power, no network, no user. */
  public static final class Builder {
    private double batteryPercent = UNKNOWN;
    private boolean charging;
    private double batteryTemperatureC = UNKNOWN;
    private int thermalStatus = -1;
    private boolean online;
    private boolean unmetered;
    private boolean interactive;
    private boolean batterySaver;
    private long freeBytes = -1;

    /** Sets {@link Conditions#batteryPercent}. */
    public Builder batteryPercent(double percent) {
      batteryPercent = percent;
      return this;
    }

    /** Sets {@link Conditions#charging}. */
    public Builder charging(boolean yes) {
      charging = yes;
      return this;
    }

    /** Sets {@link Conditions#batteryTemperatureC}. */
    public Builder batteryTemperatureC(double degrees) {
      batteryTemperatureC = degrees;
      return this;
    }

    /** Sets {@link Conditions#thermalStatus}. */
    public Builder thermalStatus(int status) {
      thermalStatus = status;
      return this;
    }

    /** Sets {@link Conditions#online} and {@link Conditions#unmetered}. */
    public Builder network(boolean isOnline, boolean isUnmetered) {
      online = isOnline;
      unmetered = isOnline && isUnmetered;
      return this;
    }

    /** Sets {@link Conditions#interactive}. */
    public Builder interactive(boolean yes) {
      interactive = yes;
      return this;
    }

    /** Sets {@link Conditions#batterySaver}. */
    public Builder batterySaver(boolean yes) {
      batterySaver = yes;
      return this;
    }

    /** Sets {@link Conditions#freeBytes}. */
    public Builder freeBytes(long bytes) {
      freeBytes = bytes;
      return this;
    }

    /** Makes the value. */
    public Conditions build() {
      return new Conditions(this);
    }
  }
}
