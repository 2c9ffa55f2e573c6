package org.pocketfleet.client;

import org.pocketfleet.bundle.Bundle;
import org.pocketfleet.bundle.BundleException;
import org.pocketfleet.data.DataException;
import org.pocketfleet.data.Dataset;
import org.pocketfleet.training.Trainer;
import org.pocketfleet.training.TrainingException;

/** A bundle's model and the data that fits it. */
final class Job implements AutoCloseable {
  private final Trainer trainer;
  private final Dataset data;
  private final Dataset testData;

  private Job(Trainer trainer, Dataset data, Dataset testData) {
    this.trainer = trainer;
    this.data = data;
    this.testData = testData;
  }

  static Job open(Bundle bundle, WorkerSettings settings)
      throws BundleException, DataException, TrainingException {
    Trainer trainer = new Trainer(bundle, settings.threads());
    boolean opened = false;
    try {
      Dataset data = settings.data().load(bundle.manifest());
      Dataset test =
          settings.testData() == null ? data : settings.testData().load(bundle.manifest());
      opened = true;
      return new Job(trainer, data, test);
    } finally {
      if (!opened) {
        trainer.close();
      }
    }
  }

  Trainer trainer() {
    return trainer;
  }

  Dataset data() {
    return data;
  }

  Dataset testData() {
    return testData;
  }

  @Override
  public void close() {
    trainer.close();
  }
}
