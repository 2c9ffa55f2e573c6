package org.pocketfleet.client;

import java.io.File;
import java.util.Collections;
import java.util.Map;
import java.util.function.Supplier;
import org.pocketfleet.data.DataSource;
import org.pocketfleet.energy.BatteryState;
import org.pocketfleet.energy.EnergyMeter;
import org.pocketfleet.training.StepListener;

/** What a {@link Worker} needs to know of its device and data. */
public final class WorkerSettings {
  private final String name;
  private final String processor;
  private final String profile;
  private final int threads;
  private final boolean cacheFeatures;
  private final DataSource data;
  private final DataSource testData;
  private final EnergyMeter meter;
  private final Supplier<Map<String, Object>> facts;
  private final Supplier<BatteryState> battery;
  private final String build;
  private final File localWeights;
  private final StepListener onStep;

  private WorkerSettings(Builder builder) {
    this.name = builder.name;
    this.processor = builder.processor;
    this.profile = builder.profile;
    this.threads = builder.threads;
    this.cacheFeatures = builder.cacheFeatures;
    this.data = builder.data;
    this.testData = builder.testData;
    this.meter = builder.meter;
    this.facts = builder.facts;
    this.battery = builder.battery;
    this.build = builder.build;
    this.localWeights = builder.localWeights;
    this.onStep = builder.onStep;
  }

  /**
   * Begins settings.
   *
   * @param name what the server and the report call this device; not empty, as the order of the
   *     samples depends on it
   * @param data the client's training data
   */
  public static Builder builder(String name, DataSource data) {
    return new Builder(name, data);
  }

  /** What the server and the report call this device. */
  public String name() {
    return name;
  }

  /** Class of the processor, for processor-specific cutoffs: {@code cpu}, {@code gpu}, …. */
  public String processor() {
    return processor;
  }

  /** Device profile that the report shows. */
  public String profile() {
    return profile;
  }

  /** Threads of the interpreter; 0: what is fastest. */
  public int threads() {
    return threads;
  }

  /** Whether the features of a frozen base are kept in memory. */
  public boolean cacheFeatures() {
    return cacheFeatures;
  }

  /** The client's training data. */
  public DataSource data() {
    return data;
  }

  /** The client's own test data; null: it evaluates on the training data. */
  public DataSource testData() {
    return testData;
  }

  /** Where joules come from; null: nowhere. */
  public EnergyMeter meter() {
    return meter;
  }

  /** More of what the server may know of this device, by key, as it is now. */
  public Map<String, Object> facts() {
    return facts.get();
  }

  /** How the battery is now. */
  public BatteryState battery() {
    return battery.get();
  }

  /** Version of the client; empty: not known. */
  public String build() {
    return build;
  }

  /** Directory in which the client keeps its own weights between rounds; null: it keeps none. */
  public File localWeights() {
    return localWeights;
  }

  /** Hears of every training step. */
  public StepListener onStep() {
    return onStep;
  }

  /** Collects settings. */
  public static final class Builder {
    private final String name;
    private final DataSource data;
    private String processor = "cpu";
    private String profile = "generic";
    private int threads;
    private boolean cacheFeatures = true;
    private DataSource testData;
    private EnergyMeter meter;
    private Supplier<Map<String, Object>> facts = Collections::emptyMap;
    private Supplier<BatteryState> battery = () -> BatteryState.UNKNOWN;
    private String build = "";
    private File localWeights;
    private StepListener onStep = (done, planned) -> {};

    private Builder(String name, DataSource data) {
      if (name.isEmpty()) {
        throw new IllegalArgumentException("a client needs a name");
      }
      this.name = name;
      this.data = data;
    }

    /** Sets {@link WorkerSettings#processor()}. */
    public Builder processor(String value) {
      processor = value;
      return this;
    }

    /** Sets {@link WorkerSettings#profile()}. */
    public Builder profile(String value) {
      profile = value;
      return this;
    }

    /** Sets {@link WorkerSettings#threads()}. */
    public Builder threads(int value) {
      threads = value;
      return this;
    }

    /** Sets {@link WorkerSettings#cacheFeatures()}. */
    public Builder cacheFeatures(boolean value) {
      cacheFeatures = value;
      return this;
    }

    /** Sets {@link WorkerSettings#testData()}. */
    public Builder testData(DataSource value) {
      testData = value;
      return this;
    }

    /** Sets {@link WorkerSettings#meter()}. */
    public Builder meter(EnergyMeter value) {
      meter = value;
      return this;
    }

    /**
     * Sets {@link WorkerSettings#facts()}; they go over those that a worker has itself, and are
     * asked for whenever the server asks.
     */
    public Builder facts(Supplier<Map<String, Object>> value) {
      facts = value;
      return this;
    }

    /** Sets {@link WorkerSettings#battery()}; it is asked for around every task. */
    public Builder battery(Supplier<BatteryState> value) {
      battery = value;
      return this;
    }

    /** Sets {@link WorkerSettings#build()}. */
    public Builder build(String value) {
      build = value;
      return this;
    }

    /** Sets {@link WorkerSettings#localWeights()}. */
    public Builder localWeights(File value) {
      localWeights = value;
      return this;
    }

    /** Sets {@link WorkerSettings#onStep()}. */
    public Builder onStep(StepListener value) {
      onStep = value;
      return this;
    }

    /** Makes the settings. */
    public WorkerSettings build() {
      return new WorkerSettings(this);
    }
  }
}
